"""What each route does, without HTTP: bytes and values in, answers out."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel
from torch import Tensor

from headtail.serve.errors import RefusedError
from headtail.serve.images import ImageFeatures, decode_base64
from headtail.serve.records import Once
from headtail.serve.requests import (
    Examples,
    PredictRequest,
    check_batch,
    feature_rows,
    parse,
)
from headtail.serve.service import Service
from headtail.version import __version__

__all__ = ["Handlers"]

# Products that a processor makes in a millisecond or so, and bytes that it parses.
_QUICK = 2**22
_SHORT = 2**16
_Model = TypeVar("_Model", bound=BaseModel)
_LOG = logging.getLogger("headtail.serve")


class Handlers:
    """The routes of a service.

    Parameters
    ----------
    service
        The head.
    images
        From images to features; None where no images are taken.
    max_batch
        Rows, or images, of a request.

    Examples
    --------
    >>> from headtail import NearestClassMeanClassifier
    >>> ncm = NearestClassMeanClassifier().fit([[3.0, 0.0], [0.0, 2.0]], ["a", "b"])
    >>> answer = Handlers(Service(ncm)).predict(b'{"features": [[0, 1]], "top_k": 1}')
    >>> answer["version"], answer["predictions"][0]["classes"]
    (0, ['b'])
    """

    def __init__(
        self,
        service: Service,
        images: ImageFeatures | None = None,
        *,
        max_batch: int = 1024,
    ) -> None:
        self._service, self._images, self._most = service, images, max_batch

    def is_quick(self, body: bytes) -> bool:
        """Tell whether a body for `predict` is answered in a millisecond or so."""
        # A number takes two bytes or more, and is multiplied once for each class.
        products = len(body) // 2 * len(self._service.snapshot.names)
        # Donors take longer; a key may be written with escapes.
        plain = b"explain" not in body and b"\\" not in body
        return products <= _QUICK and len(body) <= _SHORT and plain

    def predict(self, body: bytes) -> dict[str, Any]:
        """Answer ``POST /predict``."""
        request = self._parsed(PredictRequest, body)
        rows = feature_rows(request.features, self._service.n_features, self._most)
        return self._predict(rows, request.top_k, request.explain)

    def predict_image(self, file: bytes, top_k: int, explain: bool) -> dict[str, Any]:
        """Answer ``POST /predict/image``."""
        return self._predict(self._features([file]), top_k, explain)

    def add_class(self, body: bytes, once: Once | None) -> dict[str, int]:
        """Answer ``POST /classes``."""
        request = self._parsed(Examples, body)
        with _kept():
            features = self._examples(request)
            return self._service.add_class(request.name, features, once)

    def add_examples(self, body: bytes, once: Once | None) -> dict[str, int]:
        """Answer ``POST /examples``."""
        request = self._parsed(Examples, body)
        with _kept():
            features = self._examples(request)
            return self._service.add_examples(request.name, features, once)

    def forget_class(self, name: str, once: Once | None) -> dict[str, int]:
        """Answer ``DELETE /classes/{name}``."""
        with _kept():
            return self._service.forget_class(name, once)

    def forget_examples(self, number: int, once: Once | None) -> dict[str, int]:
        """Answer ``DELETE /examples/{id}``."""
        with _kept():
            return self._service.forget_examples(number, once)

    def classes(self, offset: int, limit: int) -> dict[str, Any]:
        """Answer ``GET /classes``."""
        snapshot = self._service.snapshot
        return {
            "version": snapshot.version,
            "total": len(snapshot.names),
            "classes": snapshot.classes(offset, limit),
        }

    def head(self) -> tuple[int, bytes]:
        """Return what ``GET /head`` sends, and the state that it is of."""
        snapshot = self._service.snapshot
        return snapshot.version, snapshot.file()

    def health(self) -> dict[str, Any]:
        """Answer ``GET /health``."""
        version = self._service.snapshot.version
        return {"status": "ok", "version": __version__, "snapshot": version}

    def _parsed(self, model: type[_Model], body: bytes) -> _Model:
        return parse(model, body, self._service.n_features, self._most)

    def _predict(self, features: Tensor, top_k: int, explain: bool) -> dict[str, Any]:
        snapshot = self._service.snapshot
        rows = snapshot.predict(features, top_k=top_k, explain=explain)
        return {"version": snapshot.version, "predictions": rows}

    def _examples(self, request: Examples) -> Tensor:
        if request.images:
            return self._features(decode_base64(request.images))
        return feature_rows(request.features, self._service.n_features, self._most)

    def _features(self, files: list[bytes]) -> Tensor:
        if self._images is None:
            raise RefusedError(
                409,
                "The server must have a network to take images; it has none. Send "
                "features, or start it with --network.",
            )
        check_batch(len(files), self._most)
        return self._images(files)


@contextmanager
def _kept() -> Iterator[None]:
    """Tell a client what the journal's file could not do, without naming the file."""
    try:
        yield
    except OSError as error:
        _LOG.error("%s", error)
        if error.errno == errno.ENOSPC:
            raise RefusedError(
                507,
                "The disk must have room for the journal; it is full, and nothing was "
                "changed. Free space and try again.",
            ) from error
        raise RefusedError(
            500,
            "The journal must be writable; it is not, and nothing was changed. The "
            "server's log says why.",
        ) from error
