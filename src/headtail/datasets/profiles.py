"""Class-count profiles, and cutting a balanced data set down to one."""

import numpy as np
import numpy.typing as npt

from headtail.tensors import shown

__all__ = ["exponential_counts", "subsample"]


def exponential_counts(
    n_classes: int, largest: int, imbalance_ratio: float
) -> npt.NDArray[np.int64]:
    """Return class counts that fall exponentially, as in CIFAR-LT.

    n[c] = floor(largest · imbalance_ratio^(-c / (n_classes - 1))), at least 1.

    Examples
    --------
    >>> exponential_counts(5, 100, 100)
    array([100,  31,  10,   3,   1])
    """
    if n_classes < 2 or largest < 1 or imbalance_ratio < 1:
        raise ValueError(
            "n_classes must be at least 2, largest and imbalance_ratio at least 1; got "
            f"{n_classes}, {largest} and {imbalance_ratio}."
        )
    exponent = -np.arange(n_classes) / (n_classes - 1)
    # A hair above: 100 · 100^-1 must be 1, not 0.99….
    counts = np.floor(largest * imbalance_ratio**exponent * (1 + 1e-12))
    return counts.clip(min=1).astype(np.int64)


def subsample(
    labels: npt.NDArray[np.int64], class_counts: npt.ArrayLike, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw class_counts[c] examples of each class c; return them and the rest.

    Both are sorted indices. Every class must have as many examples as are asked for.
    """
    counts = np.asarray(class_counts)
    have = np.bincount(labels, minlength=len(counts))
    if len(have) > len(counts):
        raise ValueError(
            f"class_counts must count every class; labels go to {len(have) - 1}, "
            f"counts to {len(counts) - 1}."
        )
    short = have < counts
    if short.any():
        raise ValueError(
            "Every class must have as many examples as class_counts asks for; classes "
            f"{shown(short.nonzero()[0])} have too few."
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    rank = np.arange(len(labels)) - (np.cumsum(have) - have)[labels[order]]
    drawn = rank < counts[labels[order]]
    return np.sort(order[drawn]), np.sort(order[~drawn])
