"""Commands killed at a few moments; `make kill` takes hundreds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def kill(*words, before="pass"):
    """Run the harness, after a change to the library, in a process of its own.

    It forks, which this process with its threads must not.
    """
    code = "import sys\n{}\nfrom tools.kill.__main__ import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code.format(before), *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows_of(text):
    """Return the figures of every line of the table."""
    lines = [line.split("|") for line in text.splitlines()]
    return {
        name.strip(): [int(cell) for cell in cells]
        for name, *cells in lines
        if name.strip() != "command"
    }


def test_what_is_killed_loses_nothing():
    done = kill("--moments", "2", "fit", "train", "extract", "add", "serve")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    *commands, server = rows.items()
    assert [name for name, _ in commands] == ["fit", "train", "extract", "add"]
    for name, (killed, _, loaded, ended, equal, broken) in commands:
        assert (killed, broken) == (2, 0), name
        assert 1 <= ended == equal, name
        assert loaded > 0, name
    name, (killed, _, _, lost, restarts, equal, broken) = server
    assert (name, killed, lost, broken) == ("serve", 2, 0, 0)
    assert 1 <= restarts == equal


BROKEN = """
import time
from contextlib import contextmanager
from pathlib import Path
from safetensors.torch import save
from headtail import files
from tools.kill import trials
from tools.kill.child import Moment

@contextmanager
def in_place(path):
    yield Path(path)
    Path(path).with_name(".left").touch()

def slow(tensors, path, metadata):
    content = save(tensors, metadata)
    with open(path, "wb") as file:
        for part in (content[:99], content[99:]):
            file.write(part)
            file.flush()
            time.sleep(0.3)

files.written_whole, files.save_file = in_place, slow
# The first event is the claim, the second the opening of the file.
trials.draw = lambda *_: Moment(0.005, 1)
"""


def test_the_harness_finds_what_is_broken():
    done = kill("--moments", "2", "add", before=BROKEN)
    assert done.returncode == 1
    assert rows_of(done.stdout)["add"][-1] > 0
    assert "head.safetensors is neither the old nor the new one" in done.stderr
    assert "head.safetensors must be a whole safetensors file" in done.stderr
    assert "called again, it left ['.left']" in done.stderr


@pytest.mark.parametrize("words", [["nap"], ["--moments", "0"]])
def test_what_it_cannot_do_is_refused(words, monkeypatch, capsys):
    from tools.kill.__main__ import main

    monkeypatch.setattr(sys, "argv", ["kill", *words])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "WHAT must be of" in capsys.readouterr().err
