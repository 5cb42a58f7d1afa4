"""Class labels: finding them by value, and as JSON without losing their type."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "check_lengths",
    "decode_labels",
    "encode_labels",
    "positions_of",
    "same_kind",
]


def same_kind(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Tell whether both are text, or neither: 3 and "3" are different labels."""
    return _is_text(first) == _is_text(second)


def _is_text(labels: npt.NDArray[Any]) -> bool:
    if labels.dtype.kind == "O":
        return all(isinstance(label, str) for label in labels.tolist())
    return labels.dtype.kind == "U"


def positions_of(
    labels: npt.NDArray[Any], classes: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """Return where each label stands among distinct `classes`; -1 if nowhere.

    Examples
    --------
    >>> positions_of(np.array([7, 5, 8]), np.array([5, 7]))
    array([ 1,  0, -1])
    >>> positions_of(np.array(["7"]), np.array([5, 7]))
    array([-1])
    """
    if not len(classes) or not same_kind(labels, classes):
        return np.full(len(labels), -1, dtype=np.int64)
    order = np.argsort(classes, kind="stable")
    found = np.searchsorted(classes, labels, sorter=order).clip(max=len(classes) - 1)
    positions = order[found]
    return np.where(classes[positions] == labels, positions, -1)


def check_lengths(values: Sequence[Any], longest: int = 0) -> None:
    """Refuse text of such unequal length that an array of it takes far more memory.

    numpy gives every text the space of the longest, or of `longest` characters.
    """
    lengths = [len(value) for value in values if isinstance(value, str)]
    longest = max([longest, *lengths])
    if 4 * longest * len(values) > 2**26 + 400 * sum(lengths):
        raise ValueError(
            f"text must be of similar length; the longest of {len(values):,} has "
            f"{longest:,} characters, all together have {sum(lengths):,}."
        )


def encode_labels(labels: npt.NDArray[Any]) -> dict[str, Any]:
    """Return class labels as JSON, with the dtype that tells 3 from "3"."""
    if labels.dtype.kind == "O" and not all(isinstance(x, str) for x in labels):
        raise TypeError(
            "Class labels must be numbers or strings to be saved; got an object array "
            "with other things in it."
        )
    if labels.dtype.kind not in "biufUO":
        raise TypeError(
            f"Class labels must be numbers or strings to be saved; got {labels.dtype}."
        )
    return {"dtype": labels.dtype.str, "values": labels.tolist()}


def decode_labels(encoded: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return the labels that `encode_labels` wrote."""
    if not re.fullmatch(
        r"[<>=|]?[b-zA-Z]\d{0,9}(\[\w+\])?", str(encoded["dtype"]), re.ASCII
    ):
        raise ValueError(
            f"Class labels cannot have dtype {str(encoded['dtype'])[:60]}."
        )
    dtype = np.dtype(encoded["dtype"])
    if dtype.kind not in "biufUO":
        raise ValueError(f"Class labels cannot have dtype {dtype}.")
    values = encoded["values"]
    if not isinstance(values, list) or any(isinstance(v, list) for v in values):
        raise ValueError(f"Class labels do not fit their dtype {dtype}.")
    check_lengths(values, dtype.itemsize // 4 if dtype.kind == "U" else 0)
    labels = np.array(values, dtype=dtype)
    if labels.ndim != 1 or labels.tolist() != values:
        raise ValueError(f"Class labels do not fit their dtype {dtype}.")
    if dtype.kind == "O" and not all(isinstance(value, str) for value in values):
        raise ValueError("Class labels of dtype object must be strings.")
    return labels
