"""Folders that cannot be written to: one line that names the file, nothing else."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hard.commands import COMMANDS, contents

NOBODY = 65534


@contextmanager
def as_nobody():
    """Lay down the rights of root, to whom every folder is open."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def read_only(place, monkeypatch):
    """Copy the files to where nobody may read, but not write; go there."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(place, folder / "place")
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        monkeypatch.chdir(folder / "place")
        yield folder / "place"
    finally:
        os.chdir("/")
        for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_every_command_names_what_it_cannot_write(read_only, place, run, monkeypatch):
    before = contents(read_only)
    for output, command in COMMANDS.items():
        monkeypatch.chdir(read_only)
        with as_nobody():
            code, out, err = run(*command)
        assert (code, out) == (2, ""), command
        error = err.splitlines()[-1]
        assert error.startswith("Error: ")
        assert output in error
        assert "Permission denied" in error
        assert contents(read_only) == before
