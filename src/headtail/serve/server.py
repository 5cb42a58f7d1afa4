"""The server's process: a socket, a loop, and an end when it is told to."""

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import uvicorn

from headtail.serve.app import build_app
from headtail.serve.door import Limits, is_loopback
from headtail.serve.images import ImageFeatures
from headtail.serve.service import Service
from headtail.training import load_run

try:
    import resource
except ImportError:  # not on Windows
    resource: Any = None  # type: ignore[no-redef]

__all__ = ["read_token", "serve"]

# Characters of a token: fewer could be guessed.
_SHORTEST_TOKEN = 16
# Connections at once; beyond them idle ones are closed, and clients get 503.
_MOST_CONNECTIONS = 4096
# Seconds in which a connection must ask something, its headers whole.
_PATIENCE_S = 20
# Seconds for requests that are under way when the server is told to end.
_GRACE_S = 30


def serve(
    head: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    journal: str | os.PathLike[str] | None = None,
    network: str | os.PathLike[str] | None = None,
    token: str | None = None,
    limits: Limits | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a head over HTTP until the process is told to end.

    Parameters
    ----------
    head
        A file of `headtail fit`; it is never written.
    host, port
        Where to listen; port 0 for any that is free.
    journal
        File that keeps the changes, see `Service.open`.
    network
        A run of `headtail train`, whose features the head takes; None to take no
        images.
    token
        What clients must send; None where only this machine can ask.
    limits
        None for the defaults.
    ready
        Called with the address once requests are answered.

    Raises
    ------
    OSError
        If a file or the port cannot be had.
    ValueError
        If there is no token and other machines could ask, or a file is damaged.

    Examples
    --------
    >>> serve("head.safetensors", host="0.0.0.0")
    Traceback (most recent call last):
    ValueError: A token must be there where other machines can ask; there is none ...
    """
    family, address = _resolved(host, port)
    if token is None and not is_loopback(address[0]):
        raise ValueError(
            "A token must be there where other machines can ask; there is none for "
            f"{host}. Name a file with --token-file, or serve on 127.0.0.1."
        )
    # The whole of it, so that a restart adds up in the order of the changes.
    with _one_thread_each(), closing(Service.open(head, journal)) as service:
        images = None
        if network is not None:
            images = ImageFeatures(load_run(network), service.n_features)
        app = build_app(service, images=images, token=token, limits=limits)
        with socket.create_server(address, family=family, backlog=2048) as listening:
            config = uvicorn.Config(
                app,
                # The one that bounds what the headers of a request take.
                http="h11",
                ws="none",
                log_level="warning",
                access_log=False,
                # A client could name itself as it likes in the headers of proxies.
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_most_connections(),
                timeout_graceful_shutdown=_GRACE_S,
            )
            server = _Server(config, ready, listening)
            with _ending(server):
                server.run(sockets=[listening])


def read_token(path: str | os.PathLike[str] | None) -> str | None:
    """Return the token in a file, else in ``HEADTAIL_TOKEN``; None without both.

    Examples
    --------
    >>> read_token("absent.txt")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'absent.txt'
    """
    if path is not None:
        token, where = Path(path).read_text("utf-8").strip(), str(path)
    elif "HEADTAIL_TOKEN" in os.environ:
        token, where = os.environ["HEADTAIL_TOKEN"].strip(), "HEADTAIL_TOKEN"
    else:
        return None
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise ValueError(
            f"{where} must hold a token of at least {_SHORTEST_TOKEN} printable ASCII "
            f"characters; it has {len(token)}. Make one: openssl rand -hex 32."
        )
    return token


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be 0 to 65535; got {port}.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(
            f"--host and --port must be an address to listen on; got {host!r} and "
            f"{port} ({error})."
        ) from error
    family, *_, address = found[0]
    return family, (str(address[0]), int(address[1]))


def _most_connections() -> int:
    """Return how many connections may be open, once as many files may be as can be."""
    if resource is None:
        return _MOST_CONNECTIONS
    # Twice as many files: connections come in crowds before any can be closed.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = hard if hard != resource.RLIM_INFINITY else 2 * _MOST_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < 2 * _MOST_CONNECTIONS:
        soft = min(allowed, 2 * _MOST_CONNECTIONS)
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return max(1, soft // 2)
    return _MOST_CONNECTIONS


class _Server(uvicorn.Server):
    """A server that says where it is, and closes connections that ask nothing."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[str], None],
        listening: socket.socket,
    ) -> None:
        super().__init__(config)
        self._ready, self._listening = ready, listening
        # Connection and its last request -> when they were first seen idle.
        self._idle: dict[tuple[Any, Any], float] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call `ready`."""
        await super().startup(sockets=sockets)
        host, port = self._listening.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self._ready(f"http://{name}:{port}")

    async def on_tick(self, counter: int) -> bool:
        """Look after connections, ten times a second."""
        now, before, self._idle = time.monotonic(), self._idle, {}
        connections = list(self.server_state.connections)
        crowded = len(connections) >= (self.config.limit_concurrency or math.inf)
        for connection in connections:
            request: Any = getattr(connection, "cycle", None)
            if request is None or request.response_complete:
                since = before.get((connection, request), now)
                self._idle[connection, request] = since
                if now - since > (0 if crowded else _PATIENCE_S):
                    connection.transport.close()
        return await super().on_tick(counter)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Compute every request in one thread; several requests use several processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _ending(server: Any) -> Iterator[None]:
    """Let signals end the server, and only the server: what called it goes on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        server.should_exit = True

    # uvicorn takes them while it runs, and raises them again for these afterwards.
    before = {
        kind: signal.signal(kind, end) for kind in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
