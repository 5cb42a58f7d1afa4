"""Sufficient statistics per class, from one pass over the features."""

from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.statistics.class_sums import class_sums
from headtail.tensors import as_tensor, shown

__all__ = ["ClassStatistics", "class_prototypes"]


class ClassStatistics:
    """Counts, sums and sums of unit vectors of every class.

    Training-free methods are computed from these, so a data set is read once.
    Sums are kept in float64; the order of updates changes nothing beyond rounding.

    Parameters
    ----------
    n_classes
        Number of classes, at least 0; `add_class` appends more.
    n_features
        Length of a feature vector, at least 1.
    device
        Where the sums live.

    Attributes
    ----------
    class_counts
        Examples per class.
    zero_counts
        Examples per class whose features are all zero (their unit vector is zero).
    sums, unit_sums
        Sum of the features, and of the unit features, per class.

    Examples
    --------
    >>> statistics = ClassStatistics(n_classes=2, n_features=2)
    >>> statistics.update([[3.0, 4.0], [0.0, 2.0], [5.0, 0.0]], [0, 0, 1])
    ClassStatistics(n_classes=2, n_features=2, n_samples=3)
    >>> statistics.prototypes
    tensor([[0.3000, 0.9000],
            [1.0000, 0.0000]], dtype=torch.float64)
    """

    def __init__(
        self,
        n_classes: SupportsIndex,
        n_features: SupportsIndex,
        *,
        device: str | torch.device | None = None,
    ) -> None:
        n_classes, n_features = index(n_classes), index(n_features)
        if n_classes < 0 or n_features < 1:
            raise ValueError(
                "n_classes must be at least 0 and n_features at least 1; got "
                f"{n_classes} and {n_features}."
            )
        shape = (n_classes, n_features)
        # Sums made in inference mode could never be added to outside of it.
        with torch.inference_mode(False):
            double = torch.zeros(shape, dtype=torch.float64, device=device)
            count = torch.zeros(n_classes, dtype=torch.int64, device=device)
            self.sums, self.unit_sums = double, double.clone()
            self.class_counts, self.zero_counts = count, count.clone()

    def __repr__(self) -> str:
        return (
            f"ClassStatistics(n_classes={self.n_classes}, "
            f"n_features={self.n_features}, n_samples={int(self.class_counts.sum())})"
        )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.sums.shape[0]

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return self.sums.shape[1]

    @property
    def nonzero_counts(self) -> Int[Tensor, " n_classes"]:
        """Examples per class that are not all zero."""
        return self.class_counts - self.zero_counts

    @property
    def means(self) -> Float[Tensor, "n_classes n_features"]:
        """Mean features of every class; NaN for a class without example."""
        return self.sums / self.class_counts[:, None]

    @property
    def prototypes(self) -> Float[Tensor, "n_classes n_features"]:
        """Mean unit features of every class (CKT eq. 3); NaN without example."""
        return self.unit_sums / self.class_counts[:, None]

    def update(self, features: Any, labels: Any) -> "ClassStatistics":
        """Add examples: features [n_samples, n_features], labels in 0 … n_classes-1.

        Nothing is added if any row or label is refused.
        """
        return self._add(self._summarise(features, labels), sign=1)

    def merge(self, other: "ClassStatistics") -> "ClassStatistics":
        """Add the examples of `other`, which must have the same shape."""
        if not isinstance(other, ClassStatistics):
            raise TypeError(f"other must be statistics; got {type(other).__name__}.")
        if other.sums.shape != self.sums.shape:
            raise ValueError(
                "Statistics to merge must have the same n_classes and n_features; got "
                f"{tuple(self.sums.shape)} and {tuple(other.sums.shape)}. Call "
                "add_class on the smaller one first."
            )
        every = torch.arange(self.n_classes, device=self.sums.device)
        return self._add((every, *other.copy()._tensors()), sign=1)

    def forget(self, features: Any, labels: Any) -> "ClassStatistics":
        """Take examples away again that were added before.

        A class whose last example is taken has sums of exactly zero.
        """
        part = self._summarise(features, labels)
        classes, counts, zeros = (tensor.to(self.sums.device) for tensor in part[:3])
        short = self.zero_counts[classes] < zeros
        # Rows that are not zero must not outnumber those that were added either.
        short |= self.nonzero_counts[classes] < counts - zeros
        if short.any():
            raise ValueError(
                "forget can only take away examples that were added; classes "
                f"{shown(classes[short].tolist())} would fall below zero examples. "
                "Pass the same rows and labels that were passed to update."
            )
        self._add(part, sign=-1)
        empty = self.class_counts == 0
        self.sums[empty] = 0
        self.unit_sums[empty] = 0
        return self

    def add_class(self) -> int:
        """Append a class without examples and return its position."""
        self.class_counts, self.zero_counts, self.sums, self.unit_sums = self.copy(
            n_new=1
        )._tensors()
        return self.n_classes - 1

    def copy(self, n_new: int = 0) -> "ClassStatistics":
        """Return an independent copy with `n_new` further classes without examples."""
        with torch.inference_mode(False):
            return self.from_tensors(
                *(
                    torch.cat([tensor, tensor.new_zeros(n_new, *tensor.shape[1:])])
                    for tensor in self._tensors()
                )
            )

    def select(self, positions: Int[Tensor, " n_selected"]) -> "ClassStatistics":
        """Return a copy with the classes at these positions, in that order."""
        with torch.inference_mode(False):
            where = positions.to(self.sums.device)
            return self.from_tensors(*(tensor[where] for tensor in self._tensors()))

    @classmethod
    def from_tensors(
        cls,
        class_counts: Int[Tensor, " n_classes"],
        zero_counts: Int[Tensor, " n_classes"],
        sums: Float[Tensor, "n_classes n_features"],
        unit_sums: Float[Tensor, "n_classes n_features"],
    ) -> "ClassStatistics":
        """Build statistics from their four tensors, which are kept, not copied."""
        statistics = cls(0, sums.shape[1])
        statistics.class_counts, statistics.zero_counts = class_counts, zero_counts
        statistics.sums, statistics.unit_sums = sums, unit_sums
        return statistics

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.class_counts, self.zero_counts, self.sums, self.unit_sums

    def _add(self, part: tuple[Tensor, ...], *, sign: int) -> "ClassStatistics":
        classes, *tensors = (tensor.to(self.sums.device) for tensor in part)
        if sign > 0 and len(classes) == self.n_classes and not self.class_counts.any():
            # The first data fill every class: take the sums over, do not add to zero.
            self.class_counts, self.zero_counts, self.sums, self.unit_sums = tensors
            return self
        for mine, theirs in zip(self._tensors(), tensors, strict=True):
            mine.index_add_(0, classes, theirs, alpha=sign)
        return self

    def _summarise(self, features: Any, labels: Any) -> tuple[Tensor, ...]:
        """Return the classes that occur and what to add to each of them."""
        if not isinstance(labels, Tensor):
            labels = np.asarray(labels)
            if labels.dtype.kind not in "iu" and labels.size:
                raise TypeError(
                    f"labels must be integers; got {labels.dtype}. Encode them as "
                    "positions 0 … n_classes-1."
                )
            labels = labels if labels.size else labels.astype(np.int64)
        with torch.inference_mode(False):
            features, labels = as_tensor(features), as_tensor(labels)
            _check_rows(features, labels, self.n_classes, self.n_features)
            labels = labels.to(features.device, torch.int64)
            classes, local, counts = torch.unique(
                labels, return_inverse=True, return_counts=True
            )
            return classes, counts, *class_sums(features, local, len(classes))


def class_prototypes(
    features: Float[Tensor, "n_samples n_features"],
    labels: Int[Tensor, " n_samples"],
    n_classes: SupportsIndex,
) -> Float[Tensor, "n_classes n_features"]:
    """Average the unit features of every class (equation 3 of CKT).

    The mean is not scaled to unit length again: its length tells how much the examples
    of a class agree. Rows of zeros count as examples with a zero vector.

    Parameters
    ----------
    features
        Any scale; only directions matter.
    labels
        Position of each example's class, 0 … n_classes-1; every class occurs.
    n_classes
        Number of classes.

    Returns
    -------
    prototypes
        In float64.

    Raises
    ------
    ValueError
        If a class has no example, or a row is not finite.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022, equation 3.

    Examples
    --------
    >>> import torch
    >>> features = torch.tensor([[3.0, 4.0], [5.0, 0.0]])
    >>> class_prototypes(features, torch.tensor([0, 1]), n_classes=2)
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]], dtype=torch.float64)
    """
    statistics = ClassStatistics(n_classes, features.shape[1], device=features.device)
    statistics.update(features, labels)
    empty = (statistics.class_counts == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"Every class must have an example; classes {shown(empty)} have none. "
            "Drop them from n_classes or add examples."
        )
    return statistics.prototypes


def _check_rows(
    features: Tensor, labels: Tensor, n_classes: int, n_features: int
) -> None:
    if features.ndim != 2 or features.shape[1] != n_features:
        raise ValueError(
            f"features must have shape [n_samples, {n_features}]; got "
            f"{list(features.shape)}."
        )
    if features.is_complex() or features.dtype == torch.bool:
        raise TypeError(f"features must be real numbers; got {features.dtype}.")
    if labels.ndim != 1 or len(labels) != len(features):
        raise ValueError(
            f"labels must have one entry per row of features ({len(features)}); got "
            f"shape {list(labels.shape)}."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(
            f"labels must be integers; got {labels.dtype}. Encode them as positions "
            "0 … n_classes-1."
        )
    labels = labels.to(torch.int64)
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        out = sorted(set(labels[wrong].tolist()))
        raise ValueError(
            f"labels must lie in 0 … {n_classes - 1}; got "
            f"{shown(out)}. "
            "Call add_class for a new class."
        )
