"""A command in a forked process, killed at a moment that was drawn before.

The parent has imported everything and runs nothing, so that no moment is spent on
imports, and no thread is lost by forking.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Child", "Ended", "Moment", "draw", "run_until"]

_LIMIT_S = 300
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod"}


@dataclass(frozen=True)
class Moment:
    """When a process is killed.

    Attributes
    ----------
    delay_s
        Seconds after the process began, or after `event`.
    event
        The number of a change to the folder; None for the beginning.
    """

    delay_s: float
    event: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    `signal` is 0 if it was not killed, and `code` None if it was. `events` counts its
    changes to the folder, `text` is what it printed to stdout and stderr.
    """

    code: int | None
    signal: int
    events: int
    seconds: float
    stdout: str
    stderr: str
    modules: tuple[str, ...] = ()


def draw(rng: random.Random, seconds: float, events: int) -> Moment:
    """Draw a moment of a process that takes so long and changes so much.

    One in three falls anywhere, one right before a change to a file or folder, and one
    within the 5 ms after a change.
    """
    kind = rng.randrange(3)
    if kind == 0 or not events:
        return Moment(rng.uniform(0, seconds))
    return Moment(rng.uniform(0, 0.005) if kind == 2 else 0, rng.randrange(events))


def run_until(
    moment: Moment | None, work: Callable[[], Any], folder: Path, log: Path
) -> Ended:
    """Fork, let the child work in `folder`, and kill it at `moment`, if there is one.

    A delay of 0 after an event is right before it. Its output goes to files beside
    `log`.
    """
    child = Child(moment, work, folder, log)
    # The pipe ends without a word if the event never comes.
    if moment is not None and (
        moment.event is None or (moment.delay_s and os.read(child.pipe, 1))
    ):
        time.sleep(moment.delay_s)
        child.send(signal.SIGKILL)
    return child.wait()


class Child:
    """A forked process that works in `folder`; see `run_until`."""

    def __init__(
        self, moment: Moment | None, work: Callable[[], Any], folder: Path, log: Path
    ) -> None:
        self._log, self._begin = log, time.monotonic()
        for suffix in (".json", ".out", ".err"):
            log.with_suffix(suffix).unlink(missing_ok=True)
        self.pipe, writing = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self.pipe)
            _be_child(moment, work, folder, log, writing)
        os.close(writing)

    def send(self, number: int) -> None:
        """Send a signal, also to a child that has ended and was not waited for."""
        os.kill(self._pid, number)

    def is_over(self) -> bool:
        """Tell whether it has ended; it is still to be waited for."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._pid, how) is not None

    def wait(self) -> Ended:
        """Wait for the end, and kill what is left of the child's own children."""
        os.close(self.pipe)
        _, status = os.waitpid(self._pid, 0)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        told = self._log.with_suffix(".json")
        ended = os.WIFEXITED(status) and told.exists()
        said = json.loads(told.read_text()) if ended else {}
        return Ended(
            None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status),
            os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            said.get("events", 0),
            time.monotonic() - self._begin,
            self.printed(".out"),
            self.printed(".err"),
            tuple(said.get("modules", ())),
        )

    def printed(self, suffix: str) -> str:
        """Return what it has printed so far, to ``.out`` or ``.err``."""
        file = self._log.with_suffix(suffix)
        return file.read_text() if file.exists() else ""


def _be_child(
    moment: Moment | None,
    work: Callable[[], Any],
    folder: Path,
    log: Path,
    pipe: int,
) -> None:
    """Work, say how many changes there were, and never return."""
    code = 1
    try:
        os.setpgid(0, 0)
        # A command that hangs must not hold up the others for ever.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_LIMIT_S)
        os.chdir(folder)
        for number, suffix in ((1, ".out"), (2, ".err")):
            file = os.open(
                log.with_suffix(suffix), os.O_CREAT | os.O_TRUNC | os.O_WRONLY
            )
            os.dup2(file, number)
        seen = _watch(folder, moment, pipe)
        try:
            work()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        sys.stdout.flush()
        told = {"events": len(seen), "modules": sorted(sys.modules)}
        log.with_suffix(".json").write_text(json.dumps(told))
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _watch(folder: Path, moment: Moment | None, pipe: int) -> list[str]:
    """Note changes to the folder; at that of the moment, die or let the parent know."""
    seen: list[str] = []
    top = f"{folder}{os.sep}"

    def hook(event: str, words: tuple[Any, ...]) -> None:
        if event != "open" and event not in _CHANGES:
            return
        if not words or not isinstance(words[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(words[0]))  # noqa: PTH100
        if not path.startswith(top):
            return
        # Of what is only read, that in hidden folders is about to be synchronised.
        if event == "open" and not (
            words[2] & _WRITES or f"{os.sep}." in path.removeprefix(top[:-1])
        ):
            return
        seen.append(event)
        if moment is not None and moment.event == len(seen) - 1:
            if not moment.delay_s:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(pipe, b"!")

    sys.addaudithook(hook)
    return seen
