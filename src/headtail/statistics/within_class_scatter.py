"""Sufficient statistics of the covariance that all classes share."""

from typing import Any, SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.statistics.class_statistics import ClassStatistics
from headtail.tensors import as_tensor, row_blocks

__all__ = ["WithinClassScatter"]

# Rows whose products are added up at once, in their own precision.
_ROWS_AT_ONCE = 4096

# What float32 holds without loss. Wider numbers are multiplied in float64.
_SHORT = (torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int8)


class WithinClassScatter:
    """Counts and sums per class, and one matrix of second moments for all of them.

    The examples themselves are not needed again: statistics of parts can be merged,
    and examples can be forgotten. Features are read in blocks and never changed.

    Parameters
    ----------
    n_classes, n_features
        Sizes; `add_class` appends a class later.
    device
        Where the statistics live; features are sent there block by block.

    Attributes
    ----------
    statistics : ClassStatistics
        Counts and sums per class.
    moments : Tensor
        Σ (x - origin)(x - origin)ᵀ over all examples, float64.
    origin : Tensor
        The mean of the first examples: near the data, so that no digits are lost.

    Examples
    --------
    >>> scatter = WithinClassScatter(n_classes=2, n_features=2)
    >>> rows = [[0.0, 1.0], [2.0, 1.0], [9.0, 5.0], [9.0, 9.0]]
    >>> scatter.update(rows, [0, 0, 1, 1]).covariance
    tensor([[1., 0.],
            [0., 4.]], dtype=torch.float64)
    """

    def __init__(
        self,
        n_classes: SupportsIndex,
        n_features: SupportsIndex,
        *,
        device: str | torch.device | None = None,
    ) -> None:
        self.statistics = ClassStatistics(n_classes, n_features, device=device)
        sums = self.statistics.sums
        with torch.inference_mode(False):
            self.moments = sums.new_zeros(sums.shape[1], sums.shape[1])
            self.origin = sums.new_zeros(sums.shape[1])

    def __repr__(self) -> str:
        return (
            f"WithinClassScatter(n_classes={self.n_classes}, "
            f"n_features={self.n_features}, n_samples={int(self.class_counts.sum())})"
        )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.statistics.n_classes

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return self.statistics.n_features

    @property
    def class_counts(self) -> Int[Tensor, " n_classes"]:
        """Examples per class."""
        return self.statistics.class_counts

    @property
    def means(self) -> Float[Tensor, "n_classes n_features"]:
        """Mean features of every class; NaN for a class without example."""
        return self.statistics.means

    @property
    def degrees_of_freedom(self) -> int:
        """Examples less classes that have any: 0 if no class has two examples."""
        counts = self.class_counts
        return int(counts.sum() - (counts > 0).sum())

    @property
    def covariance(self) -> Float[Tensor, "n_features n_features"]:
        """The pooled within-class covariance, unbiased; zero without degrees of it."""
        counts = self.class_counts
        occurs = counts > 0
        apart = self.means[occurs] - self.origin
        between = (apart * counts[occurs, None]).T @ apart
        within = self.moments - between
        covariance = (within + within.T) / (2 * max(self.degrees_of_freedom, 1))
        if not self.degrees_of_freedom:
            return torch.zeros_like(covariance)
        # What rounding took below zero would be a variance below zero.
        covariance.diagonal().clamp_(min=0)
        return covariance

    def update(self, features: Any, labels: Any) -> "WithinClassScatter":
        """Add examples: features [n_samples, n_features], labels in 0 … n_classes-1.

        Nothing is added if any row or label is refused.
        """
        with torch.inference_mode(False):
            features = as_tensor(features)
            first = not self.class_counts.any()
            self.statistics.update(features, labels)
            if first and len(features):
                self.moments.zero_()
                self.origin = self.statistics.sums.sum(dim=0) / len(features)
            self.moments += self._products(features)
        return self

    def merge(self, other: "WithinClassScatter") -> "WithinClassScatter":
        """Add the examples of `other`, which must have the same shape."""
        if not isinstance(other, WithinClassScatter):
            raise TypeError(f"other must be a scatter; got {type(other).__name__}.")
        with torch.inference_mode(False):
            first = not self.class_counts.any()
            self.statistics.merge(other.statistics)
            if first:
                self.origin = other.origin.to(self.moments.device, copy=True)
            total = other.statistics.sums.sum(dim=0).to(self.moments)
            n_samples = int(other.class_counts.sum())
            theirs = other.origin.to(self.moments)
            apart, total = theirs - self.origin, total - n_samples * theirs
            cross = torch.outer(apart, total)
            self.moments += other.moments.to(self.moments) + cross + cross.T
            self.moments += n_samples * torch.outer(apart, apart)
        return self

    def forget(self, features: Any, labels: Any) -> "WithinClassScatter":
        """Take examples away again that were added before."""
        with torch.inference_mode(False):
            features = as_tensor(features)
            self.statistics.forget(features, labels)
            self.moments -= self._products(features)
            if not self.class_counts.any():
                self.moments.zero_()
        return self

    def add_class(self) -> int:
        """Append a class without examples and return its position."""
        return self.statistics.add_class()

    def copy(self) -> "WithinClassScatter":
        """Return an independent copy."""
        return self.from_tensors(
            self.statistics.copy(), self.moments.clone(), self.origin.clone()
        )

    def select(
        self, positions: Int[Tensor, " n_classes"], n_classes: int
    ) -> "WithinClassScatter":
        """Return a copy with `n_classes` classes, where class c stands at positions[c].

        The other classes have no example.
        """
        statistics = ClassStatistics(
            n_classes, self.n_features, device=self.moments.device
        )
        old = self.statistics
        where = positions.to(self.moments.device)
        statistics.class_counts[where] = old.class_counts
        statistics.zero_counts[where] = old.zero_counts
        statistics.sums[where], statistics.unit_sums[where] = old.sums, old.unit_sums
        return self.from_tensors(statistics, self.moments.clone(), self.origin.clone())

    @classmethod
    def from_tensors(
        cls,
        statistics: ClassStatistics,
        moments: Float[Tensor, "n_features n_features"],
        origin: Float[Tensor, " n_features"],
    ) -> "WithinClassScatter":
        """Build a scatter from its parts, which are kept, not copied."""
        scatter = cls(0, statistics.n_features)
        scatter.statistics, scatter.moments = statistics, moments
        scatter.origin = origin
        return scatter

    def _products(self, features: Tensor) -> Tensor:
        total = torch.zeros_like(self.moments)
        for rows in row_blocks(len(features), 1, _ROWS_AT_ONCE):
            block = features[rows].to(total.device)
            block = block.to(torch.float32 if block.dtype in _SHORT else torch.float64)
            block = block - self.origin.to(block.dtype)
            total += (block.T @ block).to(total.dtype)
        return total
