"""A run that was broken off anywhere ends in the same bytes as an unbroken one."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from headtail import files, writing
from headtail.datasets import ImageSet
from headtail.training import Augmentation, Optimization, Schedule, run_folder, trainer
from tests.training.tiny_runs import blotches, network, trained

DATA, HELD = blotches([6, 6, 6, 4]), blotches([4] * 4, seed=1)
N_EPOCHS, N_STEPS = 3, 3  # steps of each epoch
SETTINGS = {
    "optimization": Optimization(learning_rate=0.1, batch_size=8),
    "schedule": Schedule(n_epochs=N_EPOCHS, warmup_epochs=1),
    "augmentation": Augmentation(crop="pad", padding=1, flip=True),
}
WRITTEN = ("best.safetensors", "last.safetensors", "log.csv", "settings.json")


class StopError(Exception):
    """What breaks a run off."""


class FullError(OSError):
    """What a full disk gives, but nothing else."""


def run(folder, *, kind="linear", data=DATA, **options):
    model = network(kind=kind, norm="batch", dropout=0.3)
    return trained(data, HELD, folder, model=model, **(SETTINGS | options))


def bytes_in(folder):
    """Return what a run is judged by: all its files but the one it goes on from."""
    names = {path.name for path in folder.iterdir()}
    assert names == {*WRITTEN, "state.pt"}
    return {name: (folder / name).read_bytes() for name in WRITTEN}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run(folder)
    return bytes_in(folder)


@pytest.fixture
def stop_before():
    """Break a run off before a step, counted from its beginning."""
    handles = []

    def arm(step):
        left = iter(range(step))

        def stop(*_):
            if next(left, None) is None:
                raise StopError

        handles.append(register_optimizer_step_pre_hook(stop))

    def disarm():
        while handles:
            handles.pop().remove()

    yield arm, disarm
    disarm()


@pytest.mark.parametrize("step", [0, 1, 3, 4, 8])
def test_broken_off_in_an_epoch(step, unbroken, stop_before, tmp_path):
    arm, disarm = stop_before
    arm(step)
    with pytest.raises(StopError):
        run(tmp_path / "run")
    assert (tmp_path / "run" / "state.pt").exists() == (step >= N_STEPS)
    disarm()
    _, rows = run(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert bytes_in(tmp_path / "run") == unbroken


@pytest.mark.parametrize(
    "options",
    [
        {"sampling": "progressive"},
        {"sampling": "class-aware", "parts": "classifier"},
        {
            "kind": "cosine",
            "loss": "ldam-drw",
            "loss_options": {"start": 0.5},
            "optimization": Optimization(
                learning_rate=0.01, batch_size=8, optimizer="adamw", clip_norm=1.0
            ),
        },
    ],
)
def test_broken_off_again_and_again(options, stop_before, tmp_path):
    model, rows = run(tmp_path / "unbroken", **options)
    arm, disarm = stop_before
    for n_done in range(1, N_EPOCHS):
        arm(N_STEPS + 1)
        with pytest.raises(StopError):
            run(tmp_path / "run", **options)
        disarm()
        state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
        assert len(state["rows"]) == n_done
    resumed, more = run(tmp_path / "run", **options)
    assert str(more) == str(rows)  # NaN is not equal to itself
    assert bytes_in(tmp_path / "run") == bytes_in(tmp_path / "unbroken")
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


class Unreadable:
    """Images of which one cannot be read for now."""

    def __init__(self, row):
        self.row = row

    def __len__(self):
        return len(DATA)

    def __getitem__(self, row):
        if row == self.row:
            raise OSError(errno.EIO, "the disk is away")
        return DATA.images[row]


def test_broken_off_by_the_data(unbroken, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(OSError, match=r"the disk is away"):
        run(folder, data=ImageSet(Unreadable(5), DATA.labels))
    run(folder, data=ImageSet(Unreadable(-1), DATA.labels))
    # Its settings say that the images were read one by one.
    differing = {k for k, v in bytes_in(folder).items() if v != unbroken[k]}
    assert differing == {"settings.json"}


def test_broken_off_between_the_best_network_and_the_checkpoint(
    unbroken, tmp_path, monkeypatch
):
    save, folder, bests = torch.save, tmp_path / "run", []

    def stop(state, path):
        if (folder / "best.safetensors").exists():
            _, metadata = files.read_tensors(folder / "best.safetensors")
            if metadata["epoch"] == len(state["rows"]) not in bests:
                bests.append(metadata["epoch"])
                raise StopError
        save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder.torch, "save", stop)
        while not (folder / "last.safetensors").exists():
            n_bests = len(bests)
            with suppress(StopError):
                run(folder)
            if len(bests) > n_bests:
                # Network and log are an epoch ahead of the checkpoint.
                n_logged = len((folder / "log.csv").read_text().splitlines()) - 1
                assert n_logged == bests[-1]
                assert (folder / "state.pt").exists() == (bests[-1] > 1)
    assert bests[0] == 1
    assert bytes_in(folder) == unbroken


def test_a_disk_that_is_full_at_any_write_breaks_nothing(tmp_path, monkeypatch):
    # Two epochs of one step: there are many runs.
    short = {
        "optimization": Optimization(learning_rate=0.1, batch_size=len(DATA)),
        "schedule": Schedule(n_epochs=2),
    }
    run(tmp_path / "unbroken", **short)
    unbroken = bytes_in(tmp_path / "unbroken")
    sync, n_syncs, finished = writing._sync, 0, False
    while not finished:
        folder, left = tmp_path / f"run-{n_syncs}", iter(range(n_syncs))

        def full(path, left=left):
            if next(left, None) is None:
                raise FullError(errno.ENOSPC, "No space left on device")
            sync(path)

        with monkeypatch.context() as patch:
            patch.setattr(writing, "_sync", full)
            with suppress(FullError):
                run(folder, **short)
                finished = True
        # Nothing half-written is left.
        assert {path.name for path in folder.iterdir()} <= {*WRITTEN, "state.pt"}
        run(folder, **short)
        assert bytes_in(folder) == unbroken
        n_syncs += 1
    # Settings, the first epoch's network, two logs and checkpoints, and the last
    # network: each is synchronised before and after it takes its place.
    assert n_syncs > 2 * 7


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests.training.test_resuming import run

save = torch.save

def kill(state, path):
    save(state, path)
    if len(state["rows"]) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

torch.save = kill
run(Path(sys.argv[1]))
"""


def test_killed_while_it_writes(unbroken, tmp_path):
    folder = tmp_path / "run"
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    # A half-written checkpoint lies beside the whole one of the epoch before.
    assert [path.name[:10] for path in folder.glob(".*")] == [".state.pt."]
    assert len(torch.load(folder / "state.pt", weights_only=True)["rows"]) == 1
    run(folder)
    assert bytes_in(folder) == unbroken


def test_killed_before_the_settings_were_written(unbroken, tmp_path):
    half_written = tmp_path / "run" / ".settings.json.abc123"
    half_written.mkdir(parents=True)
    (half_written / "settings.json").write_text("{")
    run(tmp_path / "run")
    assert bytes_in(tmp_path / "run") == unbroken


def test_a_finished_run_is_only_read(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    model, rows = run(folder)
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()
    }
    monkeypatch.setattr(trainer, "train_epoch", None)
    again, more = run(folder)
    assert str(more) == str(rows)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    after = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()
    }
    assert after == before
