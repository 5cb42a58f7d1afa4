"""What the journal records: changes, the sums of their examples, answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from headtail.statistics import ClassStatistics

__all__ = ["Change", "ClassSum", "Entry", "Once", "numbers_of", "row_of"]


class ClassSum(NamedTuple):
    """Sums over examples of one class, as `ClassStatistics` keeps them.

    Attributes
    ----------
    n_examples, n_zeros
        Examples, and those that are all zero.
    sums, unit_sums
        Of the features and of the unit features: float64 [n_features].

    Examples
    --------
    >>> part = ClassSum.of(torch.tensor([[0.0, 4.0]]))
    >>> both = part.plus(part)
    >>> both.sums.tolist(), both.unit_sums.tolist()
    ([0.0, 8.0], [0.0, 2.0])
    """

    n_examples: int
    n_zeros: int
    sums: Tensor
    unit_sums: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "ClassSum":
        """Sum the examples of one class, [n_samples, n_features]."""
        labels = torch.zeros(len(features), dtype=torch.int64)
        statistics = ClassStatistics(1, features.shape[1]).update(features, labels)
        return cls.at(statistics, 0)

    @classmethod
    def at(cls, statistics: ClassStatistics, position: int) -> "ClassSum":
        """Return one row of statistics."""
        return cls(
            int(statistics.class_counts[position]),
            int(statistics.zero_counts[position]),
            statistics.sums[position],
            statistics.unit_sums[position],
        )

    @classmethod
    def empty(cls, n_features: int) -> "ClassSum":
        """Return the sums over no example."""
        nothing = torch.zeros(n_features, dtype=torch.float64)
        return cls(0, 0, nothing, nothing)

    def plus(self, other: "ClassSum") -> "ClassSum":
        """Return the sums over both."""
        return ClassSum(
            self.n_examples + other.n_examples,
            self.n_zeros + other.n_zeros,
            self.sums + other.sums,
            self.unit_sums + other.unit_sums,
        )


class Change(NamedTuple):
    """One row of the journal.

    Attributes
    ----------
    sequence
        Its number; later changes have larger ones.
    kind
        ``"class"`` adds a class, ``"examples"`` adds to one that is there,
        ``"dropped"`` takes a class of the base away.
    name
        Of the class.
    label
        Of a class that is added: text or an integer.
    part
        The examples' sums; None where there are none, or they were forgotten.
    """

    sequence: int
    kind: Literal["class", "examples", "dropped"]
    name: str
    label: Any = None
    part: ClassSum | None = None


@dataclass(frozen=True)
class Once:
    """A client's key for one change, and a hash of what it asked for with it."""

    key: str
    request: str


@dataclass(frozen=True)
class Entry:
    """What one commit does, all of it or nothing.

    Attributes
    ----------
    sequence
        Number of the state that it leads to.
    answer
        What the client is told; it holds no name.
    added
        A row to write, or None.
    erased
        Numbers of rows to take out.
    emptied
        Number of a row that loses its statistics and stays, or None.
    labels_given
        How many integer labels were given to new classes so far.
    """

    sequence: int
    answer: dict[str, int]
    added: Change | None = None
    erased: Sequence[int] = ()
    emptied: int | None = None
    labels_given: int = 0


def row_of(change: Change) -> tuple[Any, ...]:
    """Return a change as a row of the journal's table."""
    sequence, kind, name, label, part = change
    text = None if label is None else json.dumps(label)
    if part is None:
        return (sequence, kind, name, text, None, None, None, None)
    blobs = [sums.numpy().astype("<f8").tobytes() for sums in part[2:]]
    return (sequence, kind, name, text, part.n_examples, part.n_zeros, *blobs)


def numbers_of(content: bytes) -> Tensor:
    """Return the float64 numbers that `row_of` wrote as bytes."""
    return torch.from_numpy(np.frombuffer(content, "<f8").astype(np.float64))
