"""What clients send, checked: features, names, numbers of rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    model_validator,
)
from torch import Tensor

from headtail.serve.errors import RefusedError

__all__ = [
    "Examples",
    "PredictRequest",
    "check_batch",
    "feature_rows",
    "first_error",
    "parse",
]

# What float32, in which most heads compute, can hold.
_LARGEST = float(np.finfo(np.float32).max)
# Commas of a body that are not in its rows: between fields, in a name.
_MORE_COMMAS = 1000

# The first thing that is wrong ends the reading of a list: there may be millions.
_Row = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], FailFast()]
_Rows = Annotated[list[_Row], FailFast()]
_Images = Annotated[list[str], FailFast()]
_Model = TypeVar("_Model", bound=BaseModel)


class PredictRequest(BaseModel):
    """The body of ``POST /predict``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    features: _Rows = Field(min_length=1, description="A row of numbers per example.")
    top_k: int = Field(5, ge=1, le=100, description="Classes per row.")
    explain: bool = Field(False, description="Give the donors of the best class.")


class Examples(BaseModel):
    """The body of ``POST /classes`` and ``POST /examples``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="Of the class.")
    features: _Rows = Field([], description="A row of numbers per example.")
    images: _Images = Field([], description="Files in base64, where images are taken.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Examples":
        if bool(self.features) == bool(self.images):
            raise ValueError("there must be features or images, and not both")
        return self


def parse(model: type[_Model], body: bytes, n_features: int, most: int) -> _Model:
    """Return a JSON body, for rows of so many features, as a model.

    Raises
    ------
    RefusedError
        With the first thing that is wrong; 413, and nothing is parsed, if there are
        more values than in `most` rows.

    Examples
    --------
    >>> parse(PredictRequest, b'{"features": [[1, 2.5]]}', 2, 10).features
    [[1.0, 2.5]]
    """
    # Two bytes of text may take a hundred once they are parsed.
    if body.count(b",") > n_features * most + _MORE_COMMAS:
        raise RefusedError(
            413,
            f"A request must have at most {most} rows of {n_features} numbers; it has "
            "far more values. Send several.",
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RefusedError(422, first_error(error.errors(include_url=False))) from error


def first_error(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return the first of pydantic's errors as one sentence, with what came.

    Examples
    --------
    >>> first_error([{"loc": ("query", "limit"), "msg": "Too large", "input": 5}])
    'The request must hold what /openapi.json says; query.limit: Too large; got 5.'
    """
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"]) or "the body"
    came = repr(first.get("input"))
    came = came if len(came) <= 60 else f"{came[:60]}…"
    return (
        f"The request must hold what /openapi.json says; {place}: {first['msg']}; "
        f"got {came}."
    )


def feature_rows(rows: Sequence[Sequence[float]], n_features: int, most: int) -> Tensor:
    """Return rows of numbers as float64 features, [n_samples, n_features].

    Raises
    ------
    RefusedError
        If there are too many, or they are of another length or too large.

    Examples
    --------
    >>> feature_rows([[1.0, 2.0]], n_features=2, most=10)
    tensor([[1., 2.]], dtype=torch.float64)
    """
    check_batch(len(rows), most)
    for position, row in enumerate(rows):
        if len(row) != n_features:
            raise RefusedError(
                422,
                f"features must have rows of {n_features} numbers, as the head takes; "
                f"row {position} has {len(row)}.",
            )
    features = np.asarray(rows, dtype=np.float64)
    largest = float(np.abs(features).max())
    if not math.isfinite(largest) or largest > _LARGEST:
        raise RefusedError(
            422,
            f"features must be numbers that float32 holds, at most {_LARGEST:.3g}; got "
            f"{largest:.3g}.",
        )
    return torch.from_numpy(features)


def check_batch(n_rows: int, most: int) -> None:
    """Refuse more rows than a request may have."""
    if n_rows > most:
        raise RefusedError(
            413,
            f"A request must have at most {most} rows; got {n_rows}. Send several.",
        )
