"""The routes: what comes by HTTP, given to the handlers in threads."""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request, Response

from headtail.serve.answers import Changed, ClassList, Health, Predictions
from headtail.serve.errors import RefusedError
from headtail.serve.handlers import Handlers
from headtail.serve.metrics import Metrics
from headtail.serve.records import Once
from headtail.serve.requests import Examples, PredictRequest

__all__ = ["add_changes", "add_reads", "as_json"]

_KEY = re.compile(rb"[!-~]{1,128}")


def add_reads(app: FastAPI, handlers: Handlers, metrics: Metrics) -> None:
    """Add what changes nothing."""
    # More threads than processors would only wait for each other.
    threads, turn = CapacityLimiter(os.cpu_count() or 1), asyncio.Lock()
    many = Query(ge=1, le=100, description="Classes per row.")

    @app.post(
        "/predict",
        response_model=Predictions,
        openapi_extra=_takes("application/json", PredictRequest.model_json_schema()),
    )
    async def predict(request: Request) -> Response:
        """Predict features."""
        _check_type(request, "application/json")
        body = await request.body()
        # The way to a thread and back takes longer than a row or two. One at a time:
        # in between, the loop looks after changes and after those who come.
        if handlers.is_quick(body):
            async with turn:
                answer = as_json(handlers.predict(body))
                await asyncio.sleep(0)
            return answer
        return await _answer(threads, handlers.predict, body)

    @app.post(
        "/predict/image",
        response_model=Predictions,
        openapi_extra=_takes("image/*", {"type": "string", "format": "binary"}),
    )
    async def predict_image(
        request: Request, top_k: Annotated[int, many] = 5, explain: bool = False
    ) -> Response:
        """Predict one image, sent as it is."""
        _check_type(request, "image/")
        body = await request.body()
        return await _answer(threads, handlers.predict_image, body, top_k, explain)

    @app.get("/classes", response_model=ClassList)
    async def classes(
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """List the classes, page by page."""
        return await _answer(threads, handlers.classes, offset, limit)

    @app.get("/head", response_class=Response)
    async def head() -> Response:
        """Take the head away, as a file that headtail reads."""
        version, content = await run_sync(handlers.head, limiter=threads)
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"Headtail-Version": str(version)},
        )

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """Tell that the server lives; it answers once the head is loaded."""
        return as_json(handlers.health())

    @app.get("/metrics", response_class=Response)
    async def figures() -> Response:
        """Give Prometheus its figures."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")


def add_changes(app: FastAPI, handlers: Handlers) -> None:
    """Add what changes the head, one at a time."""
    # A thread of their own: changes and predictions do not wait for each other.
    thread = CapacityLimiter(1)
    takes = _takes("application/json", Examples.model_json_schema())

    @app.post("/classes", response_model=Changed, status_code=201, openapi_extra=takes)
    async def add_class(request: Request) -> Response:
        """Add a class from examples, without training."""
        _check_type(request, "application/json")
        body, once = await request.body(), await _once(request)
        return await _answer(thread, handlers.add_class, body, once, status=201)

    @app.post("/examples", response_model=Changed, status_code=201, openapi_extra=takes)
    async def add_examples(request: Request) -> Response:
        """Add examples to a class."""
        _check_type(request, "application/json")
        body, once = await request.body(), await _once(request)
        return await _answer(thread, handlers.add_examples, body, once, status=201)

    @app.delete("/classes/{name:path}", response_model=Changed)
    async def forget_class(name: str, request: Request) -> Response:
        """Forget a class."""
        once = await _once(request)
        return await _answer(thread, handlers.forget_class, name, once)

    @app.delete("/examples/{number}", response_model=Changed)
    async def forget_examples(number: int, request: Request) -> Response:
        """Forget the examples of one request, by the id in its answer."""
        once = await _once(request)
        return await _answer(thread, handlers.forget_examples, number, once)


async def _answer(
    limiter: Any, function: Callable[..., Any], *given: Any, status: int = 200
) -> Response:
    """Call a function in a thread; return what it says as JSON."""
    return await run_sync(
        lambda: as_json(function(*given), status=status), limiter=limiter
    )


def as_json(
    answer: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer as JSON, which holds no NaN."""
    text = json.dumps(answer, allow_nan=False)
    return Response(text, status, headers, media_type="application/json")


def _check_type(request: Any, wanted: str) -> None:
    """Refuse another type of body: a page in a browser could send it unasked."""
    given = request.headers.get("content-type", "")
    if not given.lower().startswith(wanted):
        raise RefusedError(
            415, f"The Content-Type must be {wanted}…; got {given[:60]!r}."
        )


async def _once(request: Request) -> Once | None:
    """Return the client's key, if it sent one, with a hash of what it asked for."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key.encode("latin-1", "replace")):
        raise RefusedError(
            422,
            "An Idempotency-Key must be 1 to 128 printable ASCII characters without "
            f"spaces; got {len(key)}.",
        )
    asked = hashlib.blake2b(digest_size=16)
    for part in (request.method, request.url.path):
        asked.update(part.encode() + b"\0")
    asked.update(await request.body())
    return Once(key, asked.hexdigest())


def _takes(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}
