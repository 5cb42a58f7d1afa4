"""Files that appear whole or not at all, written by one process at a time."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl: Any = None  # type: ignore[no-redef]

__all__ = ["check_new_folder", "naming_failure", "only_writer", "written_whole"]

# Of a hidden folder: nobody should keep a copy of their own in one of that name.
_SUFFIX, _PROBE = ".headtail", ".mode"
_LOCKS: set[int] = set()  # open files of this process
# What an operating system answers to a writer, and what helps.
_REMEDIES = {
    errno.ENOSPC: "Free space and call again.",
    errno.EDQUOT: "Free space and call again.",
    errno.EFBIG: "Raise the limit of the size of files and call again.",
    errno.EIO: "Check the disk.",
    errno.EROFS: "Choose a folder that can be written to.",
    errno.EACCES: "Choose a folder that can be written to.",
    errno.EPERM: "Choose a folder that can be written to.",
}


@contextmanager
def naming_failure(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the writers of tensors raise, on a full disk say, into an `OSError`."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        raise OSError(
            f"{path} must be written whole; writing it failed ({error}). Free space "
            "and call again."
        ) from error


def check_new_folder(path: str | os.PathLike[str]) -> Path:
    """Return `path` if nothing is there, or an empty folder; refuse it otherwise."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} holds something already; choose a new folder.")
    _check_parent(path)
    return path


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` if all goes well.

    It lies in a hidden folder beside `path`. What is written there may be a file or a
    folder; a folder never replaces a folder that holds something. What a writer of
    `path` that was killed has left behind is removed.

    Raises
    ------
    OSError
        If the disk is full, the folder is read-only, and the like; it names `path`.
    """
    path = Path(path)
    _check_parent(path)
    with _naming(path):
        _remove_abandoned(path)
        holder, lock = _new_holder(path)
    temporary = holder / path.name
    try:
        with _naming(path, temporary):
            (holder / _PROBE).touch()
            yield temporary
            _share(temporary, (holder / _PROBE).stat().st_mode & 0o777)
            for written in [temporary, *temporary.rglob("*")]:
                _sync(written)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        if lock in _LOCKS:  # not in a process that was forked meanwhile
            shutil.rmtree(holder, ignore_errors=True)
            _release(lock)


@contextmanager
def only_writer(path: str | os.PathLike[str]) -> Iterator[None]:
    """Refuse every other process or thread that asks for `path` meanwhile.

    For what is read, changed and written again: of two that do so at once, the later
    would undo what the other did. A hidden file beside `path` stands for the claim; a
    process that is killed loses it. It binds those who ask, and nobody else. Where the
    file system knows no locks, nobody is refused.

    Raises
    ------
    BlockingIOError
        If another writer is at work.
    OSError
        If the folder cannot be written to.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, only_writer(f"{folder}/head"):
    ...     with only_writer(f"{folder}/head"):
    ...         pass
    Traceback (most recent call last):
    BlockingIOError: .../head is being written by another process; wait for its end...
    """
    path = Path(path)
    _check_parent(path)
    claim = path.absolute().with_name(f".{path.absolute().name}.lock")
    while True:
        with _naming(path):
            file = os.open(claim, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        if not _locked(file, without_locks=True):
            os.close(file)
            raise BlockingIOError(
                f"{path} is being written by another process; wait for its end and "
                "call again, or write to another file."
            )
        # The one before may have taken the file away since it was opened.
        if _is_still(file, claim):
            break
        _release(file)
    try:
        yield
    finally:
        if file in _LOCKS:
            claim.unlink(missing_ok=True)
            _release(file)


@contextmanager
def _naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let errors of the operating system name the file, and say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _REMEDIES and _is_about(error, path):
            text = (
                f"{path} must be written whole; writing it failed "
                f"({os.strerror(error.errno)}). {_REMEDIES[error.errno]}"
            )
        elif error.errno is None and str(temporary) in str(error):
            text = str(error).replace(str(temporary), str(path))
        else:
            raise
        named = type(error)(text)
        # Not as an argument: the text would begin with the number.
        named.errno = error.errno
        raise named from error


def _is_about(error: OSError, path: Path) -> bool:
    """Tell whether an error came of writing `path`, and not of reading another file."""
    if error.filename is None:
        return True
    named, whole = Path(error.filename).absolute(), path.absolute()
    hidden = whole.with_name(f".{whole.name}.")
    return named in (whole, whole.parent) or str(named).startswith(str(hidden))


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} must exist; make it first.")


def _new_holder(path: Path) -> tuple[Path, int]:
    """Make a hidden folder beside `path`; return it and the open lock on it."""
    while True:
        holder = Path(tempfile.mkdtemp(_SUFFIX, f".{path.name}.", path.parent))
        # Another process may take it for abandoned before it is locked.
        with suppress(FileNotFoundError):
            lock = os.open(holder, os.O_RDONLY)
            if _locked(lock, without_locks=True) and _is_still(lock, holder):
                return holder, lock
            _release(lock)


def _remove_abandoned(path: Path) -> None:
    """Remove what writers of `path` that were killed left behind.

    Only what is of the form that `written_whole` makes, and locked by nobody.
    """
    form = re.compile(re.escape(f".{path.name}.") + rf"[a-z0-9_]{{8}}\{_SUFFIX}")
    found = [one for one in path.parent.iterdir() if form.fullmatch(one.name)]
    for holder in found:
        with suppress(OSError):
            lock = os.open(holder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                inside = set(os.listdir(holder))  # noqa: PTH208
                # Some writers put files of their own beside that which they write.
                ours = _PROBE in inside or inside <= {path.name}
                if ours and _locked(lock, without_locks=False):
                    shutil.rmtree(holder)
            finally:
                _release(lock)


def _locked(file: int, *, without_locks: bool) -> bool:
    """Lock an open file; tell whether it is ours. It ends with the process."""
    try:
        if fcntl is None:
            raise OSError
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # some network file systems have no locks
        if isinstance(error, BlockingIOError) or not without_locks:
            return False
    _LOCKS.add(file)
    return True


def _release(*files: int) -> None:
    for file in files:
        _LOCKS.discard(file)
        os.close(file)


if fcntl is not None:  # a forked process would hold them beyond its parent's end
    os.register_at_fork(after_in_child=lambda: _release(*_LOCKS))


def _is_still(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _share(path: Path, mode: int) -> None:
    """Give files the user's usual mode: some libraries write for the owner alone."""
    for file in [path, *path.rglob("*")]:
        if file.is_file():
            file.chmod(mode)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
