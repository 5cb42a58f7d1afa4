"""What was chosen on held-out data, and the recalls that it was chosen by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Selection", "mean_recalls"]


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen, and on which data.

    Attributes
    ----------
    candidates
        The parameters that were tried, one mapping each.
    scores
        Every candidate's mean recall over the classes of the held-out data; of a
        simulated tail, with the shot groups weighted as in the real data.
    best_index
        Position of the chosen candidate: the first of those with the best score, of
        those that the estimator's other conditions allow.
    data
        What the scores were computed on, in words.
    n_samples
        Held-out examples.
    missing_classes
        Labels of the classes without a held-out example: no score speaks for them.
    optimistic
        Whether a trained head may have seen held-out examples.
    """

    candidates: tuple[Mapping[str, Any], ...]
    scores: npt.NDArray[np.float64]
    best_index: int
    data: str
    n_samples: int
    missing_classes: npt.NDArray[Any]
    optimistic: bool

    def facts(self) -> dict[str, Any]:
        """Return what was chosen, and on what, for a record."""
        return {
            "best": dict(self.best),
            "score": float(self.scores[self.best_index]),
            "data": self.data,
            "n_samples": self.n_samples,
            "missing_classes": self.missing_classes.tolist(),
            "optimistic": self.optimistic,
        }

    @property
    def best(self) -> Mapping[str, Any]:
        """The chosen candidate."""
        return self.candidates[self.best_index]


def mean_recalls(
    predicted: Int[Tensor, "n_candidates n_samples"],
    labels: Int[Tensor, " n_samples"],
    n_classes: int,
) -> Float[Tensor, "n_candidates n_classes"]:
    """Return every candidate's recall of every class; NaN for one without example.

    Examples
    --------
    >>> import torch
    >>> mean_recalls(torch.tensor([[0, 1, 1]]), torch.tensor([0, 0, 1]), 3)
    tensor([[0.5000, 1.0000,    nan]], dtype=torch.float64)
    """
    hits = (predicted == labels).double()
    sums = hits.new_zeros(len(hits), n_classes).index_add_(1, labels, hits)
    return sums / torch.bincount(labels, minlength=n_classes)
