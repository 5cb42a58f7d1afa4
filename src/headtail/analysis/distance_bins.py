"""Mean gain of classes that are about as far from their nearest donor."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DistanceBins", "bin_by_distance"]


@dataclass(frozen=True, eq=False)
class DistanceBins:
    """One entry per bin, the nearest first: [n_bins].

    Attributes
    ----------
    distance, gain
        Means over the bin's classes.
    error
        Standard error of the mean gain; NaN for a bin of one class.
    n
        Classes.
    """

    distance: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]


def bin_by_distance(
    distances: npt.ArrayLike, gains: npt.ArrayLike, n_bins: int = 10
) -> DistanceBins:
    """Cut classes, sorted by distance, into bins of equal size and average them.

    So thousands of classes are still read as AlphaNet's figure 4b is.

    Parameters
    ----------
    distances, gains
        Per class, [n_classes]; classes where either is not finite are left out.
    n_bins
        Bins; fewer where there are fewer classes.

    References
    ----------
    Chang et al. "Alpha Net: Adaptation with Composition in Classifier Space."
    arXiv:2008.07073, figure 4b.

    Examples
    --------
    >>> result = bin_by_distance([0.1, 0.9, 0.2, 0.8], [0.3, 0.0, 0.1, 0.0], n_bins=2)
    >>> result.distance.round(2), result.gain.round(2)
    (array([0.15, 0.85]), array([0.2, 0. ]))
    """
    far, gained = np.asarray(distances, np.float64), np.asarray(gains, np.float64)
    if far.ndim != 1 or far.shape != gained.shape:
        raise ValueError(
            "distances and gains must be two arrays of one length; got shapes "
            f"{list(far.shape)} and {list(gained.shape)}."
        )
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1; got {n_bins}.")
    known = np.isfinite(far) & np.isfinite(gained)
    far, gained = far[known], gained[known]
    order = np.argsort(far, kind="stable")
    far, gained = far[order], gained[order]
    n_bins = min(n_bins, len(far))
    bins = np.arange(len(far)) * n_bins // max(1, len(far))
    n = np.bincount(bins, minlength=n_bins)
    gain = np.bincount(bins, gained, minlength=n_bins) / n
    spread = np.bincount(bins, (gained - gain[bins]) ** 2, minlength=n_bins)
    freedom = np.where(n > 1, n - 1, np.nan)
    return DistanceBins(
        distance=np.bincount(bins, far, minlength=n_bins) / n,
        gain=gain,
        error=np.sqrt(spread / freedom / n),
        n=n,
    )
