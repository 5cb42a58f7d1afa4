"""How often a client may ask."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["TokenBuckets"]

# Clients that are remembered; who has not come for longest is forgotten.
_MOST_CLIENTS = 10_000


class TokenBuckets:
    """For each client so many requests a minute, at once or spread.

    Parameters
    ----------
    per_minute
        Requests; 0 for no limit.
    clock
        Seconds, never going back.

    Examples
    --------
    >>> now = 0.0
    >>> buckets = TokenBuckets(2, clock=lambda: now)
    >>> [buckets.wait_s("10.0.0.1") for _ in range(3)]
    [0, 0, 30]
    >>> now = 31.0
    >>> buckets.wait_s("10.0.0.1")
    0
    """

    def __init__(
        self, per_minute: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not per_minute >= 0 or math.isinf(per_minute):
            raise ValueError(
                f"A rate must be at least 0 requests a minute; got {per_minute}."
            )
        self._per_minute, self._clock = per_minute, clock
        # Client -> what is left, and when that was.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str) -> int:
        """Count a request; return 0, or the seconds to wait if there are too many."""
        if not self._per_minute:
            return 0
        name, now = _network_of(client), self._clock()
        full = max(1.0, self._per_minute)
        left, since = self._left.pop(name, (full, now))
        left = min(full, left + (now - since) * self._per_minute / 60)
        allowed = left >= 1
        self._left[name] = (left - allowed, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - left) * 60 / self._per_minute))


def _network_of(client: str) -> str:
    """Return what one client has: an address, of IPv6 the network of 64 bits."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
