"""Claims of the one process that holds them, and folders of nobody but the user."""

import os
import signal
import subprocess
import sys

import pytest

from headtail.files import only_writer, written_whole

# One that claims a file and writes it, and has a process of its own meanwhile, as
# those are that read images.
PARENT = """
import os, time
from headtail.files import only_writer, written_whole
with only_writer("head"), written_whole("head") as path:
    path.write_text("half")
    if not (child := os.fork()):
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_claim_ends_with_its_process_not_with_those_that_it_started(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(BlockingIOError), only_writer(tmp_path / "head"):
            pass
        parent.kill()
        parent.communicate(timeout=60)
        with (
            only_writer(tmp_path / "head"),
            written_whole(tmp_path / "head") as path,
        ):
            path.write_text("new")
    finally:
        os.kill(child, signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir()] == ["head"]


def test_the_folder_in_which_one_works_can_be_claimed(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with only_writer("."), pytest.raises(BlockingIOError), only_writer(folder):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["run"]


def test_a_copy_that_the_user_hid_stays(tmp_path):
    copy = tmp_path / ".run.previous"
    copy.mkdir()
    (copy / "run").write_text("of the user")
    with written_whole(tmp_path / "run") as path:
        path.write_text("new")
    assert (copy / "run").read_text() == "of the user"
