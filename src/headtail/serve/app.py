"""The HTTP application: its pages, its errors as JSON, its door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from headtail.serve.answers import Problem
from headtail.serve.door import App, Door, Limits
from headtail.serve.errors import RefusedError
from headtail.serve.handlers import Handlers
from headtail.serve.images import ImageFeatures
from headtail.serve.metrics import Metrics
from headtail.serve.requests import first_error
from headtail.serve.routes import add_changes, add_reads, as_json
from headtail.serve.service import Service
from headtail.version import __version__

__all__ = ["build_app"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem},
    "5XX": {"model": Problem},
}


def build_app(
    service: Service,
    *,
    images: ImageFeatures | None = None,
    token: str | None = None,
    limits: Limits | None = None,
) -> App:
    """Return a service as an ASGI application; its lifespan closes the service.

    Parameters
    ----------
    service
        The head.
    images
        From images to features; None where no images are taken.
    token
        What clients must send; None where only this machine can ask.
    limits
        None for the defaults.

    Examples
    --------
    >>> from headtail import NearestClassMeanClassifier
    >>> from starlette.testclient import TestClient
    >>> ncm = NearestClassMeanClassifier().fit([[3.0, 0.0], [0.0, 2.0]], ["a", "b"])
    >>> app = build_app(Service(ncm))
    >>> TestClient(app, base_url="http://127.0.0.1").get("/health").json()["status"]
    'ok'
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    limits = Limits() if limits is None else limits
    app = FastAPI(
        title="headtail",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        responses=_PROBLEMS,
        # The door checks it; this is for the page alone.
        dependencies=[Depends(HTTPBearer(auto_error=False))] if token else [],
    )
    metrics = Metrics(service)
    handlers = Handlers(service, images, max_batch=limits.max_batch)
    _add_errors(app)
    add_reads(app, handlers, metrics)
    add_changes(app, handlers)
    return metrics.observing(Door(app, token=token, limits=limits))


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return as_json({"detail": error.detail}, error.status, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return as_json({"detail": first_error(error.errors())}, 422)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        detail = (
            "Path and method must be some of /openapi.json; got "
            f"{request.method[:20]} {request.url.path[:60]!r} ({error.detail})."
        )
        return as_json({"detail": detail}, error.status_code, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        # Raised again behind this, so that it stands in the log.
        detail = "The server failed; its log says why. Tell who runs it."
        return as_json({"detail": detail}, 500)
