"""The parameters `shots` and `n_models`, checked against the data and each other."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.methods.transfer._meta_training import usable_shots

__all__ = ["checked_n_models", "checked_shots", "is_int"]

_MOST_SHOTS = (1, 2, 4, 8, 16, 32, 64)


def checked_shots(given: Any, class_counts: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Return the numbers of shots; refuse those that the data cannot give."""
    if isinstance(given, str) and given == "auto":
        return _MOST_SHOTS
    if (
        isinstance(given, str)
        or not isinstance(given, Sequence | np.ndarray)
        or np.ndim(given) != 1
        or not all(is_int(k) for k in given)
    ):
        raise TypeError(f"shots must be 'auto' or a sequence of ints; got {given!r}.")
    shots = tuple(int(k) for k in given)
    if not shots or shots[0] < 1 or any(np.diff(shots) < 1):
        raise ValueError(
            f"shots must be positive and rise; got {shots}. Use (1, 2, 4), say."
        )
    if usable_shots(class_counts, shots) != shots:
        second = int(np.sort(class_counts)[-2])
        most = (second - 1) // 2
        raise ValueError(
            "Two classes must have more than twice as many examples as each of "
            f"shots; got {shots[-1]}, and the second largest class has {second}. "
            + (f"Use at most {most}, or 'auto'." if most else "Use 'auto'.")
        )
    return shots


def checked_n_models(given: Any, shots: tuple[int, ...]) -> dict[int, int]:
    """Return how many few-shot models to learn for every number of shots."""
    original = given
    if isinstance(given, str) and given == "auto":
        return {k: 100 if k < 2 else 50 if k < 4 else 20 for k in shots}
    if is_int(given):
        given = (given,) * len(shots)
    if (
        isinstance(given, str)
        or not isinstance(given, Sequence | np.ndarray)
        or np.shape(given) != (len(shots),)
        or not all(is_int(n) and n >= 1 for n in given)
    ):
        raise ValueError(
            "n_models must be 'auto', a positive int, or one for each of the "
            f"{len(shots)} shots {shots}; got {original!r}."
        )
    return {k: int(n) for k, n in zip(shots, given, strict=True)}


def is_int(value: Any) -> bool:
    """Tell whether a value is a whole number, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)
