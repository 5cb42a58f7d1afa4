"""What every request passes before it is read: host, token, rate, size."""

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headtail.serve.errors import RefusedError
from headtail.serve.rates import TokenBuckets

__all__ = ["Door", "Limits", "is_loopback"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Whoever watches the server may ask for it without a token, as often as they like.
_OPEN = "/health"
_CHANGES = frozenset({"/classes", "/examples"})
# Seconds in which a body must have come.
_PATIENCE_S = 60
# Bodies that are held at once, in largest bodies.
_HELD = 32


@dataclass(frozen=True)
class Limits:
    """What one request, and one client, may ask for.

    Attributes
    ----------
    max_body_bytes
        Of a request's body.
    max_batch
        Rows, or images, of a request.
    rate
        Changes per minute and client; 0 for no limit.
    read_rate
        Other requests per minute and client; 0 for no limit.
    """

    max_body_bytes: int = 2**24
    max_batch: int = 1024
    rate: float = 100
    read_rate: float = 6000

    def __post_init__(self) -> None:
        for name in ("max_body_bytes", "max_batch"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1; got {getattr(self, name)}."
                )


class Door:
    """An ASGI application behind checks that do not read what is asked.

    Parameters
    ----------
    app
        What comes behind. It gets the whole body as one message.
    token
        What clients must send as ``Authorization: Bearer``; None where only this
        machine can ask. Then a request must name this machine as its host, so that no
        page in a browser can ask in another name.
    limits
        See `Limits`.

    Examples
    --------
    >>> door = Door(None, token="0123456789abcdef", limits=Limits())
    >>> door.check({"path": "/head", "headers": [], "client": ("10.0.0.1", 1)})
    Traceback (most recent call last):
    headtail.serve.errors.RefusedError: The request must carry the server's token ...
    """

    def __init__(self, app: Any, *, token: str | None, limits: Limits) -> None:
        self._app: App = app
        self._token = None if token is None else token.encode()
        self._most = limits.max_body_bytes
        self._changes = TokenBuckets(limits.rate)
        self._reads = TokenBuckets(limits.read_rate)
        # Of their own: behind a proxy, who has no token has the address of who has.
        self._strangers = TokenBuckets(limits.read_rate)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, or pass it on with its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self.check(scope)
            # What anyone may ask needs no body, and holds none.
            body: bytes | None = b""
            if scope["path"] != _OPEN:
                async with asyncio.timeout(_PATIENCE_S):
                    body = await self._body(receive)
        except RefusedError as error:
            await _refuse(send, error)
            return
        except TimeoutError:
            detail = f"A body must have come within {_PATIENCE_S} s; send it faster."
            await _refuse(send, RefusedError(408, detail))
            return
        if body is None:
            return
        try:
            await self._app(scope, _replay(body, receive), send)
        finally:
            self._held -= len(body)

    def check(self, scope: Scope) -> None:
        """Refuse a request by its headers, its path and who it is from."""
        path = scope["path"]
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self._token is None:
            _check_host(headers)
        if path == _OPEN:
            return
        client = (scope.get("client") or ("",))[0]
        change = scope.get("method") in ("POST", "DELETE") and any(
            path == one or path.startswith(f"{one}/") for one in _CHANGES
        )
        given = headers.get(b"authorization", b"")
        wanted = b"Bearer " + (self._token or b"")
        known = self._token is None or hmac.compare_digest(given, wanted)
        rate = self._changes if change else self._reads
        wait_s = (rate if known else self._strangers).wait_s(client)
        if wait_s:
            raise RefusedError(
                429,
                f"A client must not ask more often than the server allows; wait "
                f"{wait_s} s.",
                retry_after_s=wait_s,
            )
        if not known:
            raise RefusedError(
                401,
                "The request must carry the server's token as 'Authorization: Bearer "
                f"TOKEN'; it carries {'another' if given else 'none'}.",
            )
        length = headers.get(b"content-length", b"")
        if length.isdigit():
            self._check_length(int(length[:20]))

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the whole body, which is held then; None if the client has left."""
        chunks: list[bytes] = []
        held, more = 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self._held -= held
                    return None
                chunk = message.get("body", b"")
                held += len(chunk)
                self._held += len(chunk)
                self._check_length(held)
                if self._held > _HELD * self._most:
                    raise RefusedError(
                        503,
                        "Bodies of all requests must fit into memory; there are too "
                        "many at once. Try again.",
                        retry_after_s=1,
                    )
                chunks.append(chunk)
                more = message.get("more_body", False)
        except BaseException:
            self._held -= held
            raise
        return b"".join(chunks)

    def _check_length(self, n_bytes: int) -> None:
        if n_bytes > self._most:
            raise RefusedError(
                413,
                f"A body must have at most {self._most:,} bytes; got {n_bytes:,} or "
                "more. Send several requests.",
            )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "0.0.0.0")]
    [True, True, True, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_host(headers: dict[bytes, bytes]) -> None:
    """Refuse what a page of another site makes a browser ask."""
    for name in (b"host", b"origin"):
        given = headers.get(name)
        if given is None and name == b"origin":
            continue
        text = (given or b"").decode("latin-1")
        try:
            address = text if name == b"origin" else f"//{text}"
            host = urlsplit(address).hostname or ""
        except ValueError:
            host = ""
        if not is_loopback(host):
            raise RefusedError(
                403,
                f"Without a token, {name.decode()} must be this machine; got "
                f"{text[:60]!r}. Ask for 127.0.0.1, or start the server with a token.",
            )


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body as one message, then what comes after it."""
    ready: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return ready.pop() if ready else await receive()

    return replayed


async def _refuse(send: Send, error: RefusedError) -> None:
    body = json.dumps({"detail": error.detail}).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        # What is left of a body that was refused is not read.
        "Connection": "close",
        **error.headers,
    }
    encoded = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
    await send(
        {"type": "http.response.start", "status": error.status, "headers": encoded}
    )
    await send({"type": "http.response.body", "body": body})
