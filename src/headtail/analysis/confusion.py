"""What the classes of each shot group are taken for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headtail.statistics import ShotGroups

__all__ = ["ConfusedPairs", "GroupConfusion", "confused_pairs", "group_confusion"]


@dataclass(frozen=True, eq=False)
class GroupConfusion:
    """Where the examples of each group end up; NaN for a group without any.

    Attributes
    ----------
    groups
        Names of the rows, the groups of the true class: "many", "medium", "few".
    outcomes
        Names of the columns: "right", and the group of a wrong answer.
    rates
        Means over the group's classes of their examples' shares, [3, 4]; the rows sum
        to 1, and "right" is the group's accuracy.
    n_classes, n
        Classes and test examples of each group.
    tail_to_head, tail_to_head_error
        Of the mistakes of a few-shot class, the share that are many-shot classes: mean
        over the classes that are mistaken, NaN without any, and its standard error
        over these classes, NaN for fewer than two.
    """

    groups: tuple[str, ...]
    outcomes: tuple[str, ...]
    rates: npt.NDArray[np.float64]
    n_classes: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]
    tail_to_head: float
    tail_to_head_error: float


@dataclass(frozen=True, eq=False)
class ConfusedPairs:
    """The pairs of classes that are confused most, the most frequent first.

    Attributes
    ----------
    true, predicted
        Positions of the classes.
    rate
        Share of the true class's examples.
    n
        That many of its examples.
    """

    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    rate: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]


def group_confusion(
    positions: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    groups: ShotGroups,
) -> GroupConfusion:
    """Measure what the classes of each shot group are taken for.

    Parameters
    ----------
    positions, predicted
        True and predicted classes as positions, [n_samples].
    groups
        Of all classes.

    Examples
    --------
    >>> from headtail.statistics import shot_groups
    >>> groups = shot_groups([500, 5, 4])
    >>> result = group_confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), groups)
    >>> dict(zip(result.outcomes, result.rates[2].tolist()))
    {'right': 0.25, 'many': 0.25, 'medium': 0.0, 'few': 0.5}
    """
    names = [name for name, _ in groups.items()]
    masks = np.stack([mask for _, mask in groups.items()])
    group_of = masks.argmax(axis=0)
    n_classes = masks.shape[1]
    outcome = np.where(positions == predicted, 0, 1 + group_of[predicted])
    counts = np.bincount(4 * positions + outcome, minlength=4 * n_classes)
    counts = counts.reshape(n_classes, 4)
    sizes = counts.sum(axis=1)
    occur = masks & (sizes > 0)
    rates = counts / np.maximum(sizes, 1)[:, None]
    totals = np.where(occur.any(axis=1), occur.sum(axis=1), np.nan)
    mistakes = counts[groups.few, 1:]
    mistakes = mistakes[mistakes.sum(axis=1) > 0]
    to_head = mistakes[:, 0] / mistakes.sum(axis=1)
    n_mistaken = len(to_head)
    return GroupConfusion(
        groups=tuple(names),
        outcomes=("right", *names),
        rates=(occur.astype(np.float64) @ rates) / totals[:, None],
        n_classes=occur.sum(axis=1),
        n=np.asarray(occur @ sizes),
        tail_to_head=float(to_head.mean()) if n_mistaken else np.nan,
        tail_to_head_error=float(to_head.std(ddof=1) / np.sqrt(n_mistaken))
        if n_mistaken > 1
        else np.nan,
    )


def confused_pairs(
    positions: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    n_classes: int,
    n: int = 20,
) -> ConfusedPairs:
    """Return the pairs of a true and a wrong class, by the share of the true class.

    Parameters
    ----------
    positions, predicted
        True and predicted classes as positions, [n_samples].
    n_classes
        Number of classes.
    n
        Pairs at most. Equal shares rank by their number of examples, then by class.

    Examples
    --------
    >>> pairs = confused_pairs(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0]), 2)
    >>> pairs.true, pairs.predicted, pairs.rate.round(2)
    (array([1, 0]), array([0, 1]), array([1.  , 0.33]))
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}.")
    wrong = positions != predicted
    codes, counts = np.unique(
        positions[wrong] * n_classes + predicted[wrong], return_counts=True
    )
    true, taken_for = np.divmod(codes, n_classes)
    rate = counts / np.bincount(positions, minlength=n_classes)[true]
    best = np.lexsort((codes, -counts, -rate))[:n]
    return ConfusedPairs(true[best], taken_for[best], rate[best], counts[best])
