"""What holds for every loader and every file, whatever is in it."""

import os
import pickle
import signal
import tempfile
import tracemalloc
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

SECONDS = 20
# Far more than a file of some kilobytes may take; see docs/reliability.md.
MEMORY = 2**28

OURS = (ValueError, TypeError, OSError)


class LawBrokenError(BaseException):
    """No `Exception`: a loader that catches all of these must not catch this."""


def _refuse(*_, **__):
    raise LawBrokenError("something was unpickled")


def _too_slow(*_):
    raise LawBrokenError(f"it takes over {SECONDS} seconds")


@contextmanager
def _watched():
    """Let nothing be unpickled, and nothing take too long or too much memory."""
    names = ("load", "loads", "Unpickler", "_Unpickler", "_load", "_loads")
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(SECONDS)
    tracemalloc.start()
    try:
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(patch.object(pickle, name, _refuse))
            yield
        peak = tracemalloc.get_traced_memory()[1]
        if peak > MEMORY:
            raise LawBrokenError(f"it takes {peak:,} bytes of memory")
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _state(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (facts.st_mtime_ns, facts.st_mode, content)
    return found


def obey(load, content, name, *, use=None, named=None, beside=None):
    """Write `content` as a file `name`, load it, and check the law.

    Loading gives an object that `use` can use, or raises one of our errors with the
    path of the file, or of `named`; every warning names it too. Nothing is written or
    unpickled, nothing takes long.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz") as temporary:
        folder = Path(temporary)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if beside is not None:
            beside(folder)
        told = str(path if named is None else folder / named)
        before = _state(folder)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with _watched():
                error = _outcome(load, path, use)
        if error is not None:
            builtin = type(error).__module__ == "builtins"
            if not (isinstance(error, OURS) and builtin):
                raise LawBrokenError(f"not an error of ours: {error!r}") from error
            if told not in str(error):
                raise LawBrokenError(f"it does not name {name}: {error}") from error
        foreign = [w for w in caught if told not in str(w.message)]
        if foreign:
            first = foreign[0]
            raise LawBrokenError(f"not a warning of ours: {first}")
        if _state(folder) != before:
            raise LawBrokenError("it wrote something")
    return error


def _outcome(load, path, use):
    try:
        loaded = load(path)
    except Exception as error:
        return error
    if use is not None:
        try:
            use(loaded)
        except Exception as error:
            text = f"{os.path.basename(path)} gives something useless: {error!r}"  # noqa: PTH119
            raise LawBrokenError(text) from error
    return None
