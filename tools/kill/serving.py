"""A server that is killed while a client changes its head."""

import http.client
import json
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from headtail.cli import main
from headtail.serve.handlers import Handlers
from headtail.serve.service import Service
from tools.kill.child import Child, Ended
from tools.kill.trials import import_all

__all__ = ["ServeTally", "kill_server"]

_WORDS = ("serve", "old", "--port", "0", "--rate", "0", "--read-rate", "0")
_KILLS_PER_JOURNAL = 10
_PATIENCE_S = 60
# Share of kills before the server answers.
_KILLED_EARLY = 1 / 6


@dataclass
class ServeTally:
    """What was found of a server.

    It was `killed` so many times, `at_changes` of these while a change was under way.
    `acknowledged` changes were answered; of the classes that these added, `lost` were
    missing at a restart. At `equal` of `restarts` the head had the bytes of that of a
    server that was never killed. `faults` says what was broken.
    """

    killed: int = 0
    at_changes: int = 0
    acknowledged: int = 0
    lost: int = 0
    restarts: int = 0
    equal: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Change:
    method: str
    path: str
    body: bytes
    key: str


def kill_server(store: Path, folder: Path, n_kills: int, seed: int) -> ServeTally:
    """Kill a server so many times, and compare its head after every restart.

    A client adds classes and examples and forgets them, one change after another. What
    got no answer is sent again with the same key after the restart: it must not count
    twice.
    """
    torch.set_num_threads(1)
    tally, rng = ServeTally(), random.Random(f"{seed} serve")
    warm = False
    while tally.killed < n_kills:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "work").mkdir(parents=True)
        (folder / "never-killed").mkdir()
        for name in ("work", "never-killed"):
            shutil.copyfile(store / "old", folder / name / "old")
        trial = _Trial(folder, rng, tally)
        if warm:
            for _ in range(min(_KILLS_PER_JOURNAL, n_kills - tally.killed)):
                trial.kill()
        # What the first server imports the others find imported.
        import_all(trial.end().modules)
        warm = True
    return tally


def _serve() -> None:
    torch.set_num_threads(1)
    sys.argv = ["headtail", *_WORDS]
    main()


class _Trial:
    """One journal, and a server beside it that is never killed."""

    def __init__(self, folder: Path, rng: random.Random, tally: ServeTally) -> None:
        self.folder, self.rng, self.tally = folder, rng, tally
        service = Service.open(folder / "never-killed" / "old")
        self.reference = Handlers(service)
        self.close = service.close
        # A change that got no answer, and what the other server answered to it.
        self.pending: _Change | None = None
        self.expected: dict[str, int] | None = None
        self.classes: list[str] = []
        self.ids: dict[int, str] = {}
        self.n_sent = 0

    def kill(self) -> None:
        """Start the server, change its head, and kill it somewhere in between."""
        child = Child(None, _serve, self.folder / "work", self.folder / "log")
        # A restart takes about as long as some dozens of changes.
        delay = self.rng.uniform(0.001, 0.8)
        connection, killed = None, False

        def kill(*_: object) -> None:
            nonlocal killed
            killed = True
            child.send(signal.SIGKILL)

        signal.signal(signal.SIGALRM, kill)
        try:
            if self.rng.random() < _KILLED_EARLY:
                signal.setitimer(signal.ITIMER_REAL, delay / 4)
            connection = self._connect(child)
            self._check(connection)
            signal.setitimer(signal.ITIMER_REAL, delay)
            while True:
                self._send(connection, self._drawn())
        except (OSError, http.client.HTTPException) as error:
            if not killed:
                self._fault(f"the server did not answer: {error!r}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            child.send(signal.SIGKILL)
            if connection is not None:
                connection.close()
            ended = child.wait()
        self.tally.killed += 1
        self.tally.at_changes += self.pending is not None
        if ended.signal != signal.SIGKILL:
            self._fault(f"the server ended with {ended.code}: {ended.stderr[-400:]}")

    def end(self) -> Ended:
        """Start the server once more, look, and let it end as it is told to."""
        child = Child(None, _serve, self.folder / "work", self.folder / "log")
        try:
            connection = self._connect(child)
            self._check(connection)
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            self._fault(f"the server did not answer: {error!r}")
        child.send(signal.SIGTERM)
        ended = child.wait()
        if ended.code:
            self._fault(f"the server ended with {ended.code}: {ended.stderr[-400:]}")
        left = sorted(path.name for path in (self.folder / "work").iterdir())
        if left != ["old", "old.journal"]:
            self._fault(f"it left {left}")
        self.close()
        return ended

    def _connect(self, child: Child) -> http.client.HTTPConnection:
        """Return a connection as soon as the server answers."""
        begin = time.monotonic()
        while "http://" not in (printed := child.printed(".err")):
            if child.is_over():
                raise ConnectionError("The server is gone.")
            if time.monotonic() - begin > _PATIENCE_S:
                self._fault(f"the server does not answer: {printed}")
                raise ConnectionError("The server is silent.")
            time.sleep(0.002)
        host, port = printed.split("http://")[1].split()[0].split(":")
        return http.client.HTTPConnection(host, int(port), timeout=_PATIENCE_S)

    def _check(self, connection: http.client.HTTPConnection) -> None:
        """Compare the head with that of the server that was never killed."""
        _, there = _ask(connection, "GET", "/head")
        if self.pending and not self.expected and there != self.reference.head()[1]:
            # The change that got no answer must have been kept.
            self.expected = self._apply(self.pending)
        self._look_for_classes(connection)
        # Counted here: it may have been killed before it told.
        self.tally.restarts += 1
        if there != self.reference.head()[1]:
            self._fault(f"the head differs after {self.n_sent} changes")
            raise ConnectionError("There is nothing more to compare.")
        self.tally.equal += 1
        if self.pending is not None:
            self._send(connection, self.pending)

    def _look_for_classes(self, connection: http.client.HTTPConnection) -> None:
        _, text = _ask(connection, "GET", "/classes?limit=1000")
        there = {row["name"] for row in json.loads(text)["classes"]}
        if lost := sorted(set(self.classes) - there):
            self.tally.lost += len(lost)
            self._fault(f"acknowledged classes are gone: {lost}")

    def _send(self, connection: http.client.HTTPConnection, change: _Change) -> None:
        """Send a change; once it is answered, make it in the other server too."""
        self.pending = change
        _, text = _ask(connection, change.method, change.path, change.body, change.key)
        expected = self.expected or self._apply(change)
        self.pending, self.expected = None, None
        self.tally.acknowledged += 1
        if json.loads(text) != expected:
            self._fault(f"{change.method} {change.path} was answered by {text!r}")

    def _drawn(self) -> _Change:
        """Draw a change that can be made."""
        self.n_sent += 1
        key, choice = f"change-{self.n_sent}", self.rng.random()
        if choice < 0.1 and self.classes:
            name = self.classes.pop(self.rng.randrange(len(self.classes)))
            self.ids = {n: of for n, of in self.ids.items() if of != name}
            return _Change("DELETE", f"/classes/{name}", b"", key)
        if choice < 0.2 and self.ids:
            number = self.rng.choice(sorted(self.ids))
            del self.ids[number]
            return _Change("DELETE", f"/examples/{number}", b"", key)
        rows = [[self.rng.gauss(0, 3) for _ in range(16)] for _ in range(3)]
        name, path = f"new-{self.n_sent}", "/classes"
        if choice < 0.5 and self.classes:
            name, path = self.rng.choice(self.classes), "/examples"
        body = json.dumps({"name": name, "features": rows}).encode()
        return _Change("POST", path, body, key)

    def _apply(self, change: _Change) -> dict[str, int]:
        """Make a change in the server that is never killed; return its answer."""
        last = change.path.rpartition("/")[2]
        if change.method == "DELETE" and change.path.startswith("/classes"):
            return self.reference.forget_class(last, None)
        if change.method == "DELETE":
            return self.reference.forget_examples(int(last), None)
        name = json.loads(change.body)["name"]
        if change.path == "/classes":
            self.classes.append(name)
            return self.reference.add_class(change.body, None)
        answer = self.reference.add_examples(change.body, None)
        self.ids[answer["id"]] = name
        return answer

    def _fault(self, text: str) -> None:
        self.tally.faults.append(f"serve: {text}")


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes = b"",
    key: str = "",
) -> tuple[int, bytes]:
    headers = {"Idempotency-Key": key} if key else {}
    if body:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise ConnectionError(f"{method} {path} was refused: {content[:200]!r}")
    return answer.status, content
