"""Of two writers of one file, one gets a clear error; what a killed one left goes."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from headtail import load_classifier, writing
from headtail.cli import add as add_command
from headtail.features import extract_to_folder
from headtail.files import only_writer, written_whole
from headtail.scale import extract_images
from headtail.training import build_backbone, trainer
from tests.cli.conftest import clusters
from tests.hard.commands import contents
from tests.training.tiny_runs import blotches, trained

BUSY = "is being written by another process; wait for its end"
ADD = ("add", "head.safetensors", "new.npz", "-o", "head.safetensors")


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    path = tmp_path / "head"
    with only_writer(path):
        with pytest.raises(BlockingIOError, match=f"head {BUSY}"), only_writer(path):
            pass
        with only_writer(tmp_path / "other"):
            pass
        with pytest.raises(BlockingIOError), only_writer(path):
            pass
    with only_writer(path):
        pass
    assert contents(tmp_path) == {}


def test_an_error_ends_the_claim(tmp_path):
    with pytest.raises(KeyError), only_writer(tmp_path / "head"):
        raise KeyError
    with only_writer(tmp_path / "head"):
        pass


def test_of_many_threads_one_is_at_work(tmp_path):
    inside, barrier = [], Barrier(8)

    def work(_):
        barrier.wait()
        n_refused = 0
        for _ in range(200):
            try:
                with only_writer(tmp_path / "head"):
                    inside.append(1)
                    assert len(inside) == 1
                    inside.pop()
            except BlockingIOError:
                n_refused += 1
        return n_refused

    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(work, range(8)))
    # Not every time: one works while the others wait.
    assert sum(refused) < 8 * 200
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    "words", [ADD, ("fit", "train.npz", "--method", "ncm", "-o", "head.safetensors")]
)
def test_a_head_that_is_being_written_is_refused(words, head, run):
    before = head.read_bytes()
    with only_writer(head):
        code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: head.safetensors {BUSY}")
    assert err.count("\n") == 1
    assert head.read_bytes() == before
    assert run(*words)[0] == 0


def test_the_claim_begins_before_the_head_is_read(head, run, monkeypatch):
    load = add_command.load_classifier

    def load_while_another_comes(path):
        with pytest.raises(BlockingIOError), only_writer(head):
            pass
        return load(path)

    monkeypatch.setattr(add_command, "load_classifier", load_while_another_comes)
    assert run(*ADD)[0] == 0


def test_of_two_processes_no_addition_is_lost(head, files):
    names = {}
    for part in "xy":
        names[part] = f"new {part}"
        clusters([4], 3, [names[part]]).save(files / f"{part}.npz")
    processes = {
        part: subprocess.Popen(
            [sys.executable, "-m", "headtail", "add", head, f"{part}.npz", "-o", head],
            cwd=files,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for part in names
    }
    errors = {part: one.communicate(timeout=120)[1] for part, one in processes.items()}
    known = load_classifier(head).class_names_
    for part, process in processes.items():
        assert (process.returncode == 0) == (names[part] in known)
        if process.returncode:
            assert BUSY in errors[part]
    assert len(known) > 4


def test_a_run_that_is_being_trained_is_refused(tmp_path, monkeypatch):
    data, train_epoch, refused = blotches([6, 4]), trainer.train_epoch, []

    def while_another_comes(*arguments, **options):
        if not refused:
            refused.append(True)
            with pytest.raises(BlockingIOError, match=f"run {BUSY}"):
                trained(data, folder=tmp_path / "run")
        return train_epoch(*arguments, **options)

    monkeypatch.setattr(trainer, "train_epoch", while_another_comes)
    trained(data, folder=tmp_path / "run")
    assert refused
    assert (tmp_path / "run" / "last.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_features_that_are_being_extracted_are_refused(tmp_path):
    images, folder = blotches([2, 2]), tmp_path / "features"
    np.savez(tmp_path / "shard.npz", images=images.images, labels=images.labels)
    backbone = build_backbone("resnet20")
    with only_writer(folder):
        with pytest.raises(BlockingIOError, match=f"features {BUSY}"):
            extract_to_folder(
                backbone, images, folder, preprocessing=backbone.preprocessing
            )
        with pytest.raises(BlockingIOError, match=f"features {BUSY}"):
            extract_images(backbone, tmp_path, folder)
    assert contents(tmp_path).keys() == {"shard.npz"}


def test_without_locks_of_the_system_nobody_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "fcntl", None)
    head = tmp_path / "head"
    with only_writer(head), only_writer(head), written_whole(head) as path:
        path.write_text("whole")
    assert contents(tmp_path) == {"head": b"whole"}


def test_a_claim_that_a_killed_process_left_is_taken(tmp_path):
    (tmp_path / ".head.lock").write_bytes(b"")
    with only_writer(tmp_path / "head"):
        pass
    assert contents(tmp_path) == {}


def abandoned(folder, name, *, suffix="abcd1234", content=("head", ".mode")):
    left = folder / f".{name}.{suffix}.headtail"
    left.mkdir()
    for inner in content:
        (left / inner).write_text("half")
    return left


def write(path):
    with written_whole(path) as temporary:
        temporary.write_text("new")


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    for suffix, content in (
        ("abcd1234", ("head", ".mode")),
        ("______xy", (".mode",)),
        ("11111111", ("head",)),
        ("22222222", (".mode", ".tmpOsCVEi")),
        ("00000000", ()),
    ):
        abandoned(tmp_path, "head", suffix=suffix, content=content)
    write(tmp_path / "head")
    assert contents(tmp_path) == {"head": b"new"}


def test_what_is_not_of_that_form_stays(tmp_path):
    stay = [
        abandoned(tmp_path, "header"),
        abandoned(tmp_path, "head", suffix="partial"),
        abandoned(tmp_path, "head", suffix="mine1234", content=("diary",)),
        abandoned(tmp_path, "head.npz"),
    ]
    (tmp_path / ".head.file1234.headtail").write_text("a file")
    (tmp_path / ".head.link1234.headtail").symlink_to(stay[0])
    write(tmp_path / "head")
    assert all(len(list(path.iterdir())) > 0 for path in stay)
    assert (tmp_path / ".head.file1234.headtail").exists()
    assert (tmp_path / ".head.link1234.headtail").is_symlink()


def test_what_another_writer_is_at_stays(tmp_path):
    path = tmp_path / "head"
    with written_whole(path) as first:
        first.write_text("first")
        with written_whole(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert contents(tmp_path) == {"head": b"first"}


def before_the_first_lock(monkeypatch, what):
    """Do something between the opening of a file and its lock."""
    lock, calls = writing._locked, []

    def late(file, *, without_locks):
        if not calls:
            calls.append(what())
        return lock(file, without_locks=without_locks)

    monkeypatch.setattr(writing, "_locked", late)


def test_a_claim_on_a_file_that_is_gone_is_made_anew(tmp_path, monkeypatch):
    # The one before takes its file away as it ends.
    before_the_first_lock(monkeypatch, (tmp_path / ".head.lock").unlink)
    with only_writer(tmp_path / "head"):
        assert (tmp_path / ".head.lock").exists()
        with pytest.raises(BlockingIOError), only_writer(tmp_path / "head"):
            pass


def test_a_holder_that_is_gone_is_made_anew(tmp_path, monkeypatch):
    # Another takes it for abandoned.
    def clean():
        (holder,) = tmp_path.glob(".head.*")
        holder.rmdir()

    before_the_first_lock(monkeypatch, clean)
    write(tmp_path / "head")
    assert contents(tmp_path) == {"head": b"new"}


def test_a_holder_that_another_takes_away_is_made_anew(tmp_path, monkeypatch):
    make, made, others = writing.tempfile.mkdtemp, [], []

    def make_and_lose(*options):
        made.append(make(*options))
        if len(made) == 1:
            os.rmdir(made[0])  # noqa: PTH106
        if len(made) == 2:
            others.append(os.open(made[1], os.O_RDONLY))
            fcntl.flock(others[0], fcntl.LOCK_EX)
        return made[-1]

    monkeypatch.setattr(writing.tempfile, "mkdtemp", make_and_lose)
    write(tmp_path / "head")
    assert len(made) == 3
    os.close(others[0])
    os.rmdir(made[1])  # noqa: PTH106
    assert contents(tmp_path) == {"head": b"new"}


def test_without_locks_files_are_written_and_nothing_is_removed(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError("No locks available")

    left = abandoned(tmp_path, "head")
    monkeypatch.setattr(writing.fcntl, "flock", no_locks)
    with only_writer(tmp_path / "head"):
        write(tmp_path / "head")
    assert (tmp_path / "head").read_text() == "new"
    assert (left / "head").read_text() == "half"
