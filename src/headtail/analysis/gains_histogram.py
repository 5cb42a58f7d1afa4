"""How the gains of classes are spread, by shot group."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.analysis._arrays import as_numpy
from headtail.statistics import Convention, shot_groups
from headtail.tensors import shown

__all__ = ["GainsHistogram", "gains_histogram"]

# A gain is a difference of fractions: rounding must not put it below its edge.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class GainsHistogram:
    """How many classes of every shot group gained how much.

    Attributes
    ----------
    groups
        Names of the rows: "many", "medium", "few", "all".
    edges
        Of the bins, [n_bins + 1], multiples of the width. A gain on an edge is in
        the bin that lies farther from 0, and so is a loss.
    n_classes
        Classes in every bin: [n_groups, n_bins].
    n_unchanged
        Classes whose gain is 0, which are in no bin: [n_groups].
    n_undefined
        Classes whose gain is NaN, which are in no bin either: [n_groups].
    """

    groups: tuple[str, ...]
    edges: npt.NDArray[np.float64]
    n_classes: npt.NDArray[np.int64]
    n_unchanged: npt.NDArray[np.int64]
    n_undefined: npt.NDArray[np.int64]


def gains_histogram(
    gains: Any,
    class_counts: Any,
    *,
    bin_width: float = 0.05,
    convention: Convention = "decoupling",
) -> GainsHistogram:
    """Count the classes of every shot group by what they gained.

    Parameters
    ----------
    gains
        Per class, -1 to 1 or NaN, as in `ClassGains`: [n_classes].
    class_counts
        Training examples per class: [n_classes].
    bin_width
        Of every bin, 0.001 to 1, as a difference of recalls. 0 is always an edge of
        the grid, so no bin mixes gains with losses; classes that neither gain nor lose
        are counted apart.
    convention
        See `shot_groups`.

    References
    ----------
    Chang et al. "Alpha Net: Adaptation with Composition in Classifier Space."
    arXiv:2008.07073, figure 4a (of the few-shot classes).

    Examples
    --------
    >>> gains = [-0.1, 0.1, 0.2, np.nan]
    >>> result = gains_histogram(gains, [500, 9, 7, 5], bin_width=0.1)
    >>> result.edges.round(1)
    array([-0.2, -0.1,  0. ,  0.1,  0.2,  0.3])
    >>> result.n_classes[[0, 2]], result.n_undefined[2]  # many, few
    (array([[1, 0, 0, 0, 0],
           [0, 0, 0, 1, 1]]), np.int64(1))
    """
    values, counts = as_numpy(gains), as_numpy(class_counts)
    groups = shot_groups(counts, convention)
    if values.shape != counts.shape or values.dtype.kind not in "fiu":
        raise ValueError(
            f"gains must be {len(counts)} numbers, one per class in class_counts; got "
            f"{values.dtype} of shape {list(values.shape)}."
        )
    values = values.astype(np.float64)
    beyond = values[np.abs(values) > 1 + _ROUNDING]
    if len(beyond):
        raise ValueError(
            "gains must be differences of recalls, -1 to 1 or NaN; got "
            f"{shown(beyond)}. Divide percentages by 100."
        )
    if not 0.001 <= bin_width <= 1:
        raise ValueError(f"bin_width must be 0.001 to 1; got {bin_width}.")
    known = np.isfinite(values) & (np.abs(values) > _ROUNDING)
    size = np.floor(np.abs(values[known]) / bin_width + _ROUNDING).astype(np.int64)
    bins = np.where(values[known] < 0, -1 - size, size)
    first, last = (bins.min(), bins.max()) if len(bins) else (0, 0)
    masks = dict(groups.items()) | {"all": np.ones(len(counts), dtype=bool)}
    n_classes = [
        np.bincount(bins[mask[known]] - first, minlength=last - first + 1)
        for mask in masks.values()
    ]
    return GainsHistogram(
        groups=tuple(masks),
        edges=np.arange(first, last + 2) * bin_width,
        n_classes=np.stack(n_classes),
        n_unchanged=_counted(np.abs(values) <= _ROUNDING, masks),
        n_undefined=_counted(~np.isfinite(values), masks),
    )


def _counted(
    wanted: npt.NDArray[np.bool_], masks: dict[str, npt.NDArray[np.bool_]]
) -> npt.NDArray[np.int64]:
    return np.array([(wanted & mask).sum() for mask in masks.values()])
