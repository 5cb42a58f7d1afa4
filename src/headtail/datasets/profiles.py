"""Class-count profiles, and cutting a balanced data set down to one."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headtail.tensors import shown

__all__ = [
    "SunSplit",
    "exponential_counts",
    "imbalance_ratio",
    "natural_counts",
    "pareto_counts",
    "step_counts",
    "subsample",
    "sun_split",
]

# 100 · 100^-1 must be 1, not 0.99…: a hair above before rounding down.
_HAIR = 1 + 1e-12

# Learning to model the tail, section 4.1: what each class of SUN-397 loses.
_SUN_DROPPED_TRAIN, _SUN_DROPPED_VAL, _SUN_TEST = 49, 9, 40


class SunSplit(NamedTuple):
    """Sorted indices of the training, validation and test examples."""

    train: npt.NDArray[np.int64]
    val: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def imbalance_ratio(class_counts: npt.ArrayLike) -> float:
    """Return the largest count divided by the smallest; 1 if all are equal.

    Examples
    --------
    >>> imbalance_ratio([500, 40, 5])
    100.0
    """
    counts = _checked_counts(class_counts)
    if (counts < 1).any():
        raise ValueError(
            "class_counts must be at least 1 for every class; classes "
            f"{shown((counts < 1).nonzero()[0])} have no example. Drop them first."
        )
    return float(counts.max() / counts.min())


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
    _check_fall(n_classes, largest, imbalance_ratio)
    exponent = -np.arange(n_classes) / (n_classes - 1)
    counts = np.floor(largest * imbalance_ratio**exponent * _HAIR)
    return counts.clip(min=1).astype(np.int64)


def step_counts(
    n_classes: int, largest: int, imbalance_ratio: float, *, n_tail: int | None = None
) -> npt.NDArray[np.int64]:
    """Return two levels of class counts: a head, and a tail a ratio below it.

    The last `n_tail` classes, by default half of them, rounded down, have
    floor(largest / imbalance_ratio) examples, at least 1; the others have `largest`.

    References
    ----------
    Buda, Maki and Mazurowski. "A systematic study of the class imbalance problem in
    convolutional neural networks." Neural Networks 2018.
    https://arxiv.org/abs/1710.05381

    Examples
    --------
    >>> step_counts(4, 100, 20)
    array([100, 100,   5,   5])
    """
    _check_fall(n_classes, largest, imbalance_ratio)
    tail = n_classes // 2 if n_tail is None else n_tail
    if not 0 <= tail <= n_classes:
        raise ValueError(
            f"n_tail must be in 0 … {n_classes}, the number of classes; got {tail}."
        )
    smallest = max(1, int(largest / imbalance_ratio * _HAIR))
    return np.repeat([largest, smallest], [n_classes - tail, tail]).astype(np.int64)


def pareto_counts(
    n_classes: int, largest: int, smallest: int, *, power: float = 6.0
) -> npt.NDArray[np.int64]:
    """Return class counts that are the quantiles of a Pareto distribution.

    n[c] = floor(smallest + (largest - smallest) · (q[c] - q[C-1]) / (q[0] - q[C-1])),
    where q[c] = (c + 1)^(-1/power) and C = n_classes: the upper quantiles (c + 1) /
    (C + 1) of the distribution, moved and scaled so that both ends are met.

    Unlike the published lists, whose counts were drawn at random, these are the same
    every time: 1,000 classes from 1,280 to 5 have 121,449 examples, where ImageNet-LT
    has 115,846. Places-LT is not of power 6; its counts come closest to 1.5.

    References
    ----------
    Liu et al. "Large-scale long-tailed recognition in an open world." CVPR 2019.
    https://arxiv.org/abs/1904.05160

    Examples
    --------
    >>> pareto_counts(6, 1000, 10)
    array([1000,  581,  358,  208,   97,   10])
    """
    if n_classes < 2 or not 1 <= smallest <= largest:
        raise ValueError(
            "n_classes must be at least 2, and 1 ≤ smallest ≤ largest; got "
            f"n_classes={n_classes}, smallest={smallest}, largest={largest}."
        )
    if not 0 < power < np.inf:
        raise ValueError(f"power must be positive and finite; got {power}.")
    # expm1: for a large power q is 1 nearly everywhere, and differences would be lost.
    q = np.expm1(-np.log(np.arange(1, n_classes + 1)) / power)
    counts = np.floor(smallest + (largest - smallest) * (1 - q / q[-1]))
    return np.asarray(counts, dtype=np.int64)


def natural_counts(
    class_counts: npt.ArrayLike, n_samples: int
) -> npt.NDArray[np.int64]:
    """Shrink class counts to `n_samples` in all, keeping the shape of the tail.

    Every class that has examples keeps one; what is left is shared out in proportion to
    the rest of each class, the last few to the largest remainders. With as many samples
    as there are, nothing changes.

    Examples
    --------
    >>> natural_counts([1000, 100, 10, 1, 0], 115)
    array([101,  11,   2,   1,   0])
    """
    counts = _checked_counts(class_counts)
    kept = (counts > 0).astype(np.int64)
    spare, wanted = int((counts - kept).sum()), n_samples - int(kept.sum())
    if not 0 <= wanted <= spare:
        raise ValueError(
            f"n_samples must be in {kept.sum()} … {counts.sum()}, from one for every "
            f"class that has examples to all of them; got {n_samples}."
        )
    if not spare:
        return counts
    share, remainder = np.divmod((counts - kept) * wanted, spare)
    first = np.argsort(-remainder, kind="stable")[: wanted - int(share.sum())]
    share[first] += 1
    return kept + share


def subsample(
    labels: npt.NDArray[np.int64], class_counts: npt.ArrayLike, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw class_counts[c] examples of each class c; return them and the rest.

    Both are sorted indices. Every class must have as many examples as are asked for.

    Examples
    --------
    >>> drawn, rest = subsample(np.array([0, 1, 0, 1]), [2, 1], seed=0)
    >>> len(drawn), len(rest)
    (3, 1)
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
    drawn = _random_ranks(labels, have, seed) < counts[labels]
    return drawn.nonzero()[0], (~drawn).nonzero()[0]


def sun_split(labels: npt.ArrayLike, seed: int) -> SunSplit:
    """Split by the recipe of SUN-397-LT: random halves, 49 dropped from every class.

    Each class is split at random into 50 % for training (rounded up), 10 % for
    validation (rounded down) and the rest. Then 49 training and 9 validation examples
    of each class are dropped, but never its last one, and 40 of the rest are the test
    set, or all if there are fewer. Of SUN-397, with 100 to 2,361 images per class, this
    leaves 1 to 1,132 for training, 1 to 227 for validation and 40 for testing, as
    published. The paper does not give the 9; only it leads to its validation counts.

    References
    ----------
    Wang, Ramanan and Hebert. "Learning to model the tail." NIPS 2017, section 4.1.
    https://proceedings.neurips.cc/paper/2017/hash/147ebe637038ca50a1265abac8dea181-Abstract.html

    Examples
    --------
    >>> labels = np.repeat([0, 1], [2361, 100])
    >>> [np.bincount(labels[part]).tolist() for part in sun_split(labels, seed=0)]
    [[1132, 1], [227, 1], [40, 40]]
    """
    values = np.asarray(labels)
    if values.ndim != 1 or values.dtype.kind not in "iu" or (values < 0).any():
        raise ValueError(
            "labels must be integers [n_samples], at least 0; got "
            f"{values.dtype} of shape {list(values.shape)}. Encode the classes first."
        )
    have = np.bincount(values)
    half, tenth = (have + 1) // 2, have // 10
    train = np.maximum(half - _SUN_DROPPED_TRAIN, np.minimum(half, 1))
    val = np.maximum(tenth - _SUN_DROPPED_VAL, np.minimum(tenth, 1))
    ranks = _random_ranks(values, have, seed)
    begins = np.stack([np.zeros_like(have), half, half + tenth])[:, values]
    ends = begins + np.stack([train, val, np.full_like(have, _SUN_TEST)])[:, values]
    parts = (begins <= ranks) & (ranks < ends)  # [3, n_samples]
    return SunSplit(*(part.nonzero()[0] for part in parts))


def _random_ranks(
    labels: npt.NDArray[np.int64], class_counts: npt.NDArray[np.int64], seed: int
) -> npt.NDArray[np.int64]:
    """Give the examples of each class the numbers from 0 on, in random order."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    ranks = np.empty(len(labels), dtype=np.int64)
    begins = np.cumsum(class_counts) - class_counts
    ranks[order] = np.arange(len(labels)) - begins[labels[order]]
    return ranks


def _check_fall(n_classes: int, largest: int, imbalance_ratio: float) -> None:
    if n_classes < 2 or largest < 1 or not imbalance_ratio >= 1:
        raise ValueError(
            "n_classes must be at least 2, largest and imbalance_ratio at least 1; got "
            f"{n_classes}, {largest} and {imbalance_ratio}."
        )


def _checked_counts(class_counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    counts = np.asarray(class_counts)
    if counts.ndim != 1 or not len(counts) or counts.dtype.kind not in "iu":
        raise ValueError(
            "class_counts must be integers [n_classes], of at least one class; got "
            f"{counts.dtype} of shape {list(counts.shape)}."
        )
    if (counts < 0).any():
        raise ValueError(
            f"class_counts must be at least 0; got {shown(counts[counts < 0])}."
        )
    return counts.astype(np.int64)
