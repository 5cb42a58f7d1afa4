"""Two processes on one machine train the network that one process trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headtail.training import Optimization
from headtail.training.loading import seed_of
from tests.training.tiny_runs import blotches, trained

# 24 images in batches of 8: the shares of two processes are of one size.
COUNTS = [10, 8, 4, 2]
SETTINGS = {"optimization": Optimization(learning_rate=0.1, batch_size=8)}
# An odd number of validation images, and fewer than there are processes.
HELD, ONE = blotches([4, 3, 2, 2], seed=1), blotches([1], seed=1)

SCRIPT = """
import json
import sys
from pathlib import Path

import numpy as np
import torch
from headtail.samplers import ClassSampler
from headtail.training import Optimization, make_fabric, run_folder, trainer
from tests.training.test_processes import COUNTS, HELD, ONE, SETTINGS
from tests.training.tiny_runs import blotches, network, trained

folder = Path(sys.argv[1])
fabric = make_fabric("cpu")
fabric.launch()
rank = fabric.global_rank
shares, written = [], []
draw, write = ClassSampler.__iter__, run_folder.written_whole

def drawing(self):
    shares.append(list(draw(self)))
    return iter(shares[-1])

def writing(path):
    written.append(str(path))
    return write(path)

ClassSampler.__iter__ = drawing
run_folder.written_whole = writing

def keep(name, model, rows):
    torch.save((model.state_dict(), str(rows)), folder / f"{name}-{rank}.pt")

data = blotches(COUNTS)
model, rows = trained(data, HELD, folder / "run", fabric=fabric, **SETTINGS)
keep("plain", model, rows)
facts = {"shares": [*shares], "written": [*written], "world": fabric.world_size}

# Batch norm, dropout and fewer validation images than processes.
model = network(norm="batch", dropout=0.3)
keep("norm", *trained(data, ONE, fabric=fabric, model=model, n_epochs=2, **SETTINGS))

# Broken off in its second epoch, and gone on with.
class StopError(Exception):
    pass

def run():
    model, broken = network(norm="batch", dropout=0.3), folder / "broken"
    return trained(data, HELD, broken, fabric=fabric, model=model, **SETTINGS)

train_epoch = trainer.train_epoch
def stopping(*arguments, before_step, **options):
    def stop(step):
        if (folder / "broken" / "state.pt").exists() and step == 1:
            raise StopError
        before_step(step)
    return train_epoch(*arguments, before_step=stop, **options)

trainer.train_epoch = stopping
try:
    run()
except StopError:
    facts["stopped"] = True
trainer.train_epoch = train_epoch
fabric.barrier()
keep("resumed", *run())
model = network(norm="batch", dropout=0.3)
keep("unbroken", *trained(data, HELD, fabric=fabric, model=model, **SETTINGS))

try:
    odd = Optimization(learning_rate=1, batch_size=7)
    trained(data, fabric=fabric, optimization=odd)
except ValueError as error:
    facts["refused"] = str(error)
(folder / f"facts-{rank}.json").write_text(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where two processes left what they came to; one launch for all tests."""
    folder, root = tmp_path_factory.mktemp("processes"), Path(__file__).parents[2]
    (folder / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    # Port 0: the first one that is free. Nothing leaves the machine.
    launch += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    launch += ["--local-addr=127.0.0.1", str(folder / "script.py"), str(folder)]
    done = subprocess.run(
        launch,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return folder


def left(folder, name):
    """Return the weights and the log that each process ended with."""
    return [torch.load(folder / f"{name}-{rank}.pt") for rank in (0, 1)]


@pytest.fixture
def facts(folder):
    return [json.loads((folder / f"facts-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone():
    """Return what one process comes to."""
    return trained(blotches(COUNTS), HELD, **SETTINGS)


@pytest.mark.parametrize("name", ["plain", "norm", "resumed", "unbroken"])
def test_both_end_with_the_same_weights_and_log(name, folder):
    (first, log), (second, other_log) = left(folder, name)
    assert log == other_log
    for key, value in first.items():
        if "running" not in key:  # each has its own, the first's are kept
            assert torch.equal(value, second[key]), key


def test_two_processes_train_what_one_does(folder, alone):
    model, rows = alone
    (weights, _), _ = left(folder, "plain")
    torch.testing.assert_close(weights, dict(model.state_dict()), rtol=1e-4, atol=1e-5)
    log = np.genfromtxt(folder / "run" / "log.csv", delimiter=",", names=True)
    for name in rows[0]:
        # Scores are counts of right images: the same, not near.
        rtol = 0 if name.startswith("validation") else 1e-5
        np.testing.assert_allclose(log[name], [row[name] for row in rows], rtol=rtol)
    assert 0 < rows[-1]["validation_all"] < 1


def test_the_shares_are_disjoint_and_make_up_the_epoch(facts):
    first, second = (one["shares"] for one in facts)
    assert len(first) == len(second) == 3
    for one, other in zip(first, second, strict=True):
        assert sorted(one + other) == list(range(24))


def test_the_first_process_alone_writes(folder, facts):
    assert facts[0]["world"] == facts[1]["world"] == 2
    assert len(facts[0]["written"]) > 3
    assert facts[1]["written"] == []
    saved = load_file(folder / "run" / "last.safetensors")
    (weights, _), _ = left(folder, "plain")
    assert all(torch.equal(saved[name], value) for name, value in weights.items())


def test_a_broken_off_run_goes_on_to_the_same_bits(folder, facts):
    assert facts[0]["stopped"]
    assert facts[1]["stopped"]
    (weights, log), _ = left(folder, "resumed")
    (expected, expected_log), _ = left(folder, "unbroken")
    assert log == expected_log
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_the_number_of_processes_is_a_setting_of_the_run(folder):
    with pytest.raises(FileExistsError, match=r"there processes is 2, now 1"):
        trained(blotches(COUNTS), HELD, folder / "run", **SETTINGS)


def test_batches_must_divide_among_the_processes(facts):
    for one in facts:
        assert (
            "batch_size must be a multiple of the 2 processes; got 7" in one["refused"]
        )


def test_processes_draw_their_own_dropout():
    assert seed_of(0, 3, 0) != seed_of(0, 3, 1)
