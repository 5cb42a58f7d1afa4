"""Sufficient statistics of the covariance that all classes share."""

from typing import Any, SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.statistics.class_statistics import ClassStatistics
from headtail.tensors import as_tensor, row_blocks, unit

__all__ = ["WithinClassScatter"]

# Rows whose products are added up at once, in their own precision.
_ROWS_AT_ONCE = 4096

# What float32 holds without loss. Wider numbers are multiplied in float64, and so are
# those whose squares float32 cannot hold.
_SHORT = (torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int8)
_SAFE_PEAK = (1e-15, 1e15)


class WithinClassScatter:
    """Counts and sums per class, and one matrix of how examples scatter about them.

    The examples themselves are not needed again: statistics of parts can be merged,
    and examples can be forgotten. Features are read in blocks and never changed.

    Parameters
    ----------
    n_classes, n_features
        Sizes; `add_class` appends a class later.
    normalize
        Whether features are scaled to unit length first (a zero row stays zero).
    device
        Where the statistics live; features are sent there block by block.

    Attributes
    ----------
    statistics : ClassStatistics
        Counts and sums per class.
    within : Tensor
        Σ (x - mean of its class)(x - mean of its class)ᵀ over all examples, float64.

    References
    ----------
    Chan, Golub, LeVeque. "Algorithms for Computing the Sample Variance." The American
    Statistician 1983: how the scatter of two parts is put together without losing
    digits.

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
        normalize: bool = False,
        device: str | torch.device | None = None,
    ) -> None:
        self.statistics = ClassStatistics(n_classes, n_features, device=device)
        self.normalize = normalize
        with torch.inference_mode(False):
            size = self.statistics.n_features
            self.within = self.statistics.sums.new_zeros(size, size)

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
        """Mean of every class, of unit features if so; NaN for one without example."""
        return self._means_of(self.statistics)

    @property
    def degrees_of_freedom(self) -> int:
        """Examples less classes that have any: 0 if no class has two examples."""
        counts = self.class_counts
        return int(counts.sum() - (counts > 0).sum())

    @property
    def covariance(self) -> Float[Tensor, "n_features n_features"]:
        """The pooled within-class covariance, unbiased; zero without degrees of it."""
        freedom = self.degrees_of_freedom
        if not freedom:
            return torch.zeros_like(self.within)
        covariance = (self.within + self.within.T) / (2 * freedom)
        # What forgetting leaves of a variance of zero may lie below it.
        covariance.diagonal().clamp_(min=0)
        return covariance

    def update(self, features: Any, labels: Any) -> "WithinClassScatter":
        """Add examples: features [n_samples, n_features], labels in 0 … n_classes-1.

        Nothing is added if any row or label is refused.
        """
        with torch.inference_mode(False):
            return self._join(*self._part(features, labels))

    def merge(self, other: "WithinClassScatter") -> "WithinClassScatter":
        """Add the examples of `other`, which must have the same shape."""
        if not isinstance(other, WithinClassScatter):
            raise TypeError(f"other must be a scatter; got {type(other).__name__}.")
        if other.normalize != self.normalize:
            raise ValueError(
                "Scatters to merge must both be of unit features or neither; got "
                f"normalize={self.normalize} and {other.normalize}."
            )
        with torch.inference_mode(False):
            return self._join(other.statistics, other.within.to(self.within))

    def forget(self, features: Any, labels: Any) -> "WithinClassScatter":
        """Take examples away again that were added before."""
        with torch.inference_mode(False):
            features = as_tensor(features)
            rest = self.statistics.copy().forget(features, labels)
            part, within = self._part(features, labels)
            within = self.within - within - self._between(rest, part)
            if not rest.class_counts.any():
                within = torch.zeros_like(within)
            self.statistics, self.within = rest, within
        return self

    def add_class(self) -> int:
        """Append a class without examples and return its position."""
        return self.statistics.add_class()

    def copy(self) -> "WithinClassScatter":
        """Return an independent copy."""
        return self.select(torch.arange(self.n_classes), self.n_classes)

    def select(
        self, positions: Int[Tensor, " n_classes"], n_classes: int
    ) -> "WithinClassScatter":
        """Return a copy with `n_classes` classes, where class c stands at positions[c].

        The other classes have no example.
        """
        with torch.inference_mode(False):
            device = self.within.device
            scatter = WithinClassScatter(
                n_classes, self.n_features, normalize=self.normalize, device=device
            )
            new, old = scatter.statistics, self.statistics
            where = positions.to(device)
            new.class_counts[where] = old.class_counts
            new.zero_counts[where] = old.zero_counts
            new.sums[where], new.unit_sums[where] = old.sums, old.unit_sums
            scatter.within = self.within.clone()
        return scatter

    def _means_of(self, statistics: ClassStatistics) -> Tensor:
        return statistics.prototypes if self.normalize else statistics.means

    def _join(self, part: ClassStatistics, within: Tensor) -> "WithinClassScatter":
        total = self.statistics.copy().merge(part)
        within = self.within + within + self._between(self.statistics, part)
        self.statistics, self.within = total, within
        return self

    def _between(self, one: ClassStatistics, other: ClassStatistics) -> Tensor:
        """Return what the classes' means differ by, where both have examples."""
        mine, theirs = one.class_counts, other.class_counts.to(one.class_counts.device)
        both = (mine > 0) & (theirs > 0)
        if not both.any():
            return torch.zeros_like(self.within)
        apart = self._means_of(one)[both]
        apart = apart - self._means_of(other).to(apart)[both]
        mine, theirs = mine[both].double(), theirs[both].double()
        return (apart * (mine * theirs / (mine + theirs))[:, None]).T @ apart

    def _part(self, features: Any, labels: Any) -> tuple[ClassStatistics, Tensor]:
        """Return the statistics of examples alone, and their scatter, checked."""
        features = as_tensor(features)
        part = ClassStatistics(
            self.n_classes, self.n_features, device=self.within.device
        )
        part.update(features, labels)
        labels = as_tensor(labels)
        means, within = self._means_of(part), torch.zeros_like(self.within)
        for rows in row_blocks(len(features), 1, _ROWS_AT_ONCE):
            block = features[rows].to(within.device)
            peak = float(block.abs().max()) if block.dtype in _SHORT else 0.0
            short = peak == 0 or _SAFE_PEAK[0] < peak < _SAFE_PEAK[1]
            wide = block.dtype not in _SHORT or not short
            block = block.to(torch.float64 if wide else torch.float32)
            block = unit(block) if self.normalize else block
            own = means[labels[rows].to(within.device, torch.int64)]
            block = block - own.to(block.dtype)
            within += (block.T @ block).to(within.dtype)
        return part, within
