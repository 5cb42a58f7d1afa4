"""A file that cannot be written whole is not there, and the error names it."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest

from headtail import writing
from headtail.files import written_whole
from tests.hard.commands import COMMANDS, contents


@contextmanager
def files_of_at_most(n_bytes):
    """Let the system refuse to write more into any file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_every_command_leaves_what_was_there_and_can_be_called_again(place, run):
    for output, command in COMMANDS.items():
        before = contents(place)
        for n_bytes in (0, 300):
            with files_of_at_most(n_bytes):
                code, out, err = run(*command)
            assert (code, out) == (2, ""), command
            error = err.splitlines()[-1]
            assert error.startswith("Error: ")
            assert "must be written whole; writing it failed" in error
            assert "File too large" in error
            # What extraction goes on from is hidden.
            assert output in error
            left = {
                name: content
                for name, content in contents(place).items()
                if not name.startswith(".features.partial")
            }
            assert left == before, command
            hidden = [path.name for path in place.glob(".*/*") if path.is_dir()]
            assert hidden == []
        assert run(*command)[0] == 0
        assert list(place.glob(".*")) == []


def write(path, error=None):
    """Write half of a file, and go on unless there is an error."""
    with written_whole(path) as temporary:
        temporary.write_text("half")
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device). Free space and call again."),
        (errno.EDQUOT, "Disk quota exceeded). Free space and call again."),
        (errno.EIO, "Input/output error). Check the disk."),
        (errno.EROFS, "Read-only file system). Choose a folder that can be written"),
    ],
)
def test_what_the_system_answers_names_the_file_and_what_helps(
    number, advice, tmp_path
):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match=r"a\.txt must be written whole; ") as caught:
        write(tmp_path / "a.txt", OSError(number, os.strerror(number)))
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.errno == number
    assert contents(tmp_path) == {"a.txt": b"old"}


def test_an_error_of_another_file_stays_as_it_was(tmp_path):
    other = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "other"))
    with pytest.raises(PermissionError) as caught:
        write(tmp_path / "a.txt", other)
    assert caught.value is other


@pytest.mark.parametrize("when", ["file", "folder"])
def test_a_disk_that_is_full_when_it_is_synchronised(when, tmp_path, monkeypatch):
    synchronise = os.fsync

    def full(descriptor):
        folder = os.path.isdir(f"/proc/self/fd/{descriptor}")  # noqa: PTH112
        if folder == (when == "folder"):
            raise OSError(errno.ENOSPC, "No space left on device")
        synchronise(descriptor)

    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match=r"a\.txt must be written whole.* \(No space"):
        write(tmp_path / "a.txt")
    # The folder is synchronised after the file took its place.
    expected = b"old" if when == "file" else b"half"
    assert contents(tmp_path) == {"a.txt": expected}
