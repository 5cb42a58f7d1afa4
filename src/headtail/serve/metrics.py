"""What Prometheus is told: requests, seconds, and what the head is made of."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from headtail.serve.door import App, Message, Receive, Scope, Send
from headtail.serve.service import Service
from headtail.serve.snapshot import Snapshot

__all__ = ["Metrics"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counts and times of requests, in a registry of their own.

    Routes are counted by their pattern, never by what a client made of it.

    Parameters
    ----------
    service
        Whose classes, examples and state are shown.

    Examples
    --------
    >>> from headtail import NearestClassMeanClassifier
    >>> ncm = NearestClassMeanClassifier().fit([[3.0, 0.0], [0.0, 2.0]], ["a", "b"])
    >>> "headtail_classes 2.0" in Metrics(Service(ncm)).text().decode()
    True
    """

    def __init__(self, service: Service) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "headtail_requests",
            "Requests that were answered.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "headtail_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("route",),
            registry=registry,
            buckets=_BUCKETS,
        )
        shown: dict[str, tuple[str, Callable[[Snapshot], int]]] = {
            "headtail_classes": ("Classes.", lambda now: len(now.names)),
            "headtail_examples": ("Examples of all.", lambda now: now.n_examples),
            "headtail_sequence": ("Number of the change.", lambda now: now.version),
        }
        for name, (text, value) in shown.items():
            gauge = Gauge(name, text, registry=registry)
            gauge.set_function(partial(_now, service, value))

    def text(self) -> bytes:
        """Return all figures in Prometheus's text format."""
        return generate_latest(self._registry)

    def observing(self, app: App) -> App:
        """Return the application with its requests counted and timed."""

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            # Failures are answered; only a client that has left is not.
            begin, status = time.perf_counter(), "left"

            async def noting(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)

            try:
                await app(scope, receive, noting)
            finally:
                route: Any = getattr(scope.get("route"), "path", "none")
                # Whatever the client calls its method, there are few to count.
                method = scope["method"]
                method = method if method in ("GET", "POST", "DELETE") else "other"
                self._requests.labels(route, method, status).inc()
                self._seconds.labels(route).observe(time.perf_counter() - begin)

        return observed


def _now(service: Service, value: Callable[[Snapshot], int]) -> int:
    return value(service.snapshot)
