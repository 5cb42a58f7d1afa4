"""Are probabilities what they say: reliability diagrams by shot group."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.statistics import ShotGroups

__all__ = ["Reliability", "reliability"]

_BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence beside accuracy, per group and bin; NaN where there is no example.

    Attributes
    ----------
    groups
        Names of the rows: "all", "many", "medium", "few".
    edges
        Of the bins of confidence: [n_bins + 1].
    confidence, accuracy
        Mean top probability and share of right answers, [n_groups, n_bins].
    n
        Test examples, [n_groups, n_bins].
    gap, gap_error
        Mean confidence minus accuracy over all examples of the group, and its standard
        error; [n_groups]. Above 0 is overconfident.
    """

    groups: tuple[str, ...]
    edges: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]
    gap: npt.NDArray[np.float64]
    gap_error: npt.NDArray[np.float64]


def reliability(
    positions: npt.NDArray[np.int64],
    proba: npt.NDArray[Any],
    groups: ShotGroups,
    *,
    n_bins: int = _BINS,
) -> Reliability:
    """Measure confidence against accuracy by the shot group of the predicted class.

    A group's examples are those that are predicted as one of its classes; each counts
    once. By the true class even perfect probabilities would look wrong: they do not
    know it.

    Parameters
    ----------
    positions
        True classes as columns of `proba`, [n_samples].
    proba
        Probabilities [n_samples, n_classes]; `evaluate` checks them.
    groups
        Of the classes, see `shot_groups`.
    n_bins
        Bins of equal width.

    References
    ----------
    Guo et al. "On Calibration of Modern Neural Networks." ICML 2017, figure 1.

    Examples
    --------
    >>> from headtail.statistics import shot_groups
    >>> proba = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    >>> result = reliability(np.array([0, 0, 1]), proba, shot_groups([500, 5]))
    >>> dict(zip(result.groups, result.gap.round(2).tolist()))
    {'all': 0.23, 'many': 0.23, 'medium': nan, 'few': nan}
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1; got {n_bins}.")
    predicted = proba.argmax(axis=1)
    confidence = proba[np.arange(len(proba)), predicted].astype(np.float64)
    hit = (predicted == positions).astype(np.float64)
    # A confidence on an edge belongs to the bin below, as in the calibration error.
    bins = np.ceil(confidence * n_bins).astype(np.int64).clip(1, n_bins) - 1
    masks = [np.ones(len(positions), dtype=bool)]
    masks += [mask[predicted] for _, mask in groups.items()]

    def sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rows = [np.bincount(bins[m], values[m], minlength=n_bins) for m in masks]
        return np.stack(rows)

    n = sums(np.ones(len(positions)))
    safe = np.where(n > 0, n, np.nan)
    gaps = [(confidence - hit)[mask] for mask in masks]
    return Reliability(
        groups=("all", *(name for name, _ in groups.items())),
        edges=np.linspace(0, 1, n_bins + 1),
        confidence=sums(confidence) / safe,
        accuracy=sums(hit) / safe,
        n=n.astype(np.int64),
        gap=np.array([_mean(gap) for gap in gaps]),
        gap_error=np.array([_standard_error(gap) for gap in gaps]),
    )


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _standard_error(values: npt.NDArray[np.float64]) -> float:
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1) / np.sqrt(len(values)))
