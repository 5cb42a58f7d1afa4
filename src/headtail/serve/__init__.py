"""A head behind HTTP: predictions for many, changes one at a time, all of them kept."""

from headtail.serve.door import Limits
from headtail.serve.errors import RefusedError
from headtail.serve.images import ImageFeatures
from headtail.serve.journal import Journal
from headtail.serve.records import Once
from headtail.serve.service import Service
from headtail.serve.snapshot import Snapshot

try:
    from headtail.serve.app import build_app
    from headtail.serve.server import read_token, serve
except ModuleNotFoundError as error:
    raise ImportError(
        f"Serving needs FastAPI, uvicorn and prometheus_client ({error}). Install "
        "them: pip install 'headtail[serve]'."
    ) from error

__all__ = [
    "ImageFeatures",
    "Journal",
    "Limits",
    "Once",
    "RefusedError",
    "Service",
    "Snapshot",
    "build_app",
    "read_token",
    "serve",
]
