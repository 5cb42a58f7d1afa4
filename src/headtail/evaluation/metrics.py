"""Every figure of an evaluation from sums per class, for many replicates at once.

A figure is a function of weighted sums over test examples: hits per true class,
predictions per class, confidence minus hits per calibration bin. So a bootstrap
replicate, which only weighs the examples anew, needs one sparse product.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from headtail.statistics import ShotGroups

__all__ = ["FIGURES", "ExampleTable", "figures_of", "groups_of"]

_BINS = 15
_TOP = 5

FIGURES = (
    "all",
    "many",
    "medium",
    "few",
    "micro_accuracy",
    "top5_accuracy",
    "macro_f1",
    "worst_class_recall",
    "harmonic_mean_recall",
    "expected_calibration_error",
)


@dataclass(frozen=True)
class ExampleTable:
    """What each test example adds to the sums.

    Attributes
    ----------
    design
        Sparse, [n_samples, 3 · n_classes + 15]: hit and top-5 hit by true class, 1 by
        predicted class, confidence minus hit by bin.
    """

    design: Any

    @classmethod
    def build(
        cls, positions: npt.NDArray[np.int64], proba: npt.NDArray[Any]
    ) -> "ExampleTable":
        """Compare the true class of every example with its probabilities."""
        n_samples, n_classes = proba.shape
        row = np.arange(n_samples)
        predicted = proba.argmax(axis=1)
        hit = (predicted == positions).astype(np.float64)
        own = proba[row, positions][:, None]
        # Equal probabilities rank in the order of classes, as argmax does.
        before = np.arange(n_classes) < positions[:, None]
        rank = ((proba > own) | ((proba == own) & before)).sum(axis=1)
        confidence = proba[row, predicted].astype(np.float64)
        bins = np.ceil(confidence * _BINS).astype(np.int64).clip(1, _BINS) - 1
        columns = [
            positions,
            positions + n_classes,
            predicted + 2 * n_classes,
            bins + 3 * n_classes,
        ]
        values = [hit, rank < _TOP, np.ones(n_samples), confidence - hit]
        design = scipy.sparse.csr_array(
            (np.concatenate(values), (np.tile(row, 4), np.concatenate(columns))),
            shape=(n_samples, 3 * n_classes + _BINS),
        )
        return cls(design)


def groups_of(
    class_sizes: npt.NDArray[np.int64], groups: ShotGroups
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return "all" and the shot groups: their classes that occur in the test set."""
    present = class_sizes > 0
    return {"all": present, **{name: mask & present for name, mask in groups.items()}}


def figures_of(
    sums: npt.NDArray[np.float64],
    class_sizes: npt.NDArray[np.int64],
    members: dict[str, npt.NDArray[np.bool_]],
) -> npt.NDArray[np.float64]:
    """Return the FIGURES, [n_replicates, 10], from sums [n_replicates, n_columns].

    Undefined figures (an empty group) are NaN. Classes that do not occur in the test
    set count in none of them.
    """
    n_classes = len(class_sizes)
    present = class_sizes > 0
    hits, top, predictions = (
        sums[:, i * n_classes : (i + 1) * n_classes][:, present] for i in range(3)
    )
    sizes = class_sizes[present]
    n_samples = sizes.sum()
    recall = hits / sizes
    f1 = 2 * hits / (predictions + sizes)
    gaps = np.abs(sums[:, 3 * n_classes :]).sum(axis=1) / n_samples
    columns = [
        _mean(recall[:, mask[present]])
        for mask in (members[name] for name in FIGURES[:4])
    ]
    columns += [
        hits.sum(axis=1) / n_samples,
        _mean(top / sizes),
        _mean(f1),
        recall.min(axis=1),
        _harmonic(recall),
        gaps,
    ]
    return np.stack(columns, axis=1)


def _mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if values.shape[1] == 0:
        return np.full(len(values), np.nan)
    return np.asarray(values.mean(axis=1))


def _harmonic(recall: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Harmonic mean; 0 if any recall is 0."""
    positive = (recall > 0).all(axis=1)
    safe = np.where(recall > 0, recall, 1.0)
    return np.where(positive, recall.shape[1] / (1 / safe).sum(axis=1), 0.0)
