"""What the losses ask of class counts, class weights, logits and numbers."""

import math
from numbers import Real
from typing import Any, Literal

import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headtail.tensors import as_tensor, shown

__all__ = [
    "Number",
    "PerClass",
    "check_between",
    "check_width",
    "checked_class_counts",
    "checked_class_weights",
]

Number = int | float  # in an annotation that is checked, an int is no float
PerClass = Tensor | npt.NDArray[Any] | list[Any] | tuple[Any, ...]

_CLOSED_LEFT, _CLOSED_RIGHT = ("left", "both"), ("right", "both")


def checked_class_counts(class_counts: PerClass) -> Float[Tensor, " n_classes"]:
    """Return the training samples per class in float64; each must be at least 1.

    Examples
    --------
    >>> checked_class_counts([3, 0, 2])
    Traceback (most recent call last):
    ...
    ValueError: class_counts must be at least 1 for every class; classes [1] have no
    training sample. Drop them.
    """
    counts = as_tensor(class_counts)
    if counts.ndim != 1 or not len(counts):
        raise ValueError(
            "class_counts must be one-dimensional, one count per class; got shape "
            f"{list(counts.shape)}."
        )
    if (
        counts.dtype.is_floating_point
        or counts.dtype.is_complex
        or counts.dtype == torch.bool
    ):
        raise TypeError(f"class_counts must be integers; got {counts.dtype}.")
    counts = counts.to(torch.int64)  # the small unsigned types cannot be compared
    empty = (counts < 1).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"class_counts must be at least 1 for every class; classes {shown(empty)} "
            "have no training sample. Drop them."
        )
    return counts.double()


def checked_class_weights(
    weight: PerClass, n_classes: int | None = None
) -> Float[Tensor, " n_classes"]:
    """Return an independent float64 copy of the weights, one per class.

    They must be finite, not negative and not all 0, and `n_classes` many if given.
    """
    must = "weight must be finite and not negative, one per class"
    weights = as_tensor(weight).to(torch.float64, copy=True)
    if weights.ndim != 1 or len(weights) != (n_classes or len(weights)):
        wanted = "" if n_classes is None else f" ({n_classes})"
        raise ValueError(f"{must}{wanted}; got shape {list(weights.shape)}.")
    bad = (~(torch.isfinite(weights) & (weights >= 0))).nonzero().flatten()
    if len(bad):
        found = shown(weights[bad].tolist())
        raise ValueError(f"{must}; classes {shown(bad.tolist())} have {found}.")
    if not (weights > 0).any():
        raise ValueError(f"{must}; all of them are 0. Give one class a weight.")
    return weights


def check_width(
    logits: Float[Tensor, "n_samples n_columns"], per_class: Float[Tensor, " n_classes"]
) -> None:
    """Refuse logits that have not one column per class."""
    n_classes = len(per_class)
    if logits.shape[1] != n_classes:
        raise ValueError(
            f"logits must have one column per class ({n_classes}); got "
            f"{logits.shape[1]}."
        )


def check_between(
    name: str,
    value: Any,
    low: Number,
    high: Number = math.inf,
    *,
    closed: Literal["left", "right", "both", "neither"] = "left",
) -> None:
    """Refuse what is no number in the interval; `closed` names the ends inside it.

    Examples
    --------
    >>> check_between("beta", 1.0, 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: beta must be a number in [0, 1); got 1.0.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}.")
    number = float(value)
    above = number >= low if closed in _CLOSED_LEFT else number > low
    below = number <= high if closed in _CLOSED_RIGHT else number < high
    if not (above and below):
        opening = "[" if closed in _CLOSED_LEFT else "("
        closing = "]" if closed in _CLOSED_RIGHT else ")"
        raise ValueError(
            f"{name} must be a number in {opening}{low}, {high}{closing}; got {value}."
        )
