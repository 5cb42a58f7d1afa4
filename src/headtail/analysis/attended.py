"""Whether the classes that are attended to are near in a taxonomy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.analysis._arrays import as_numpy
from headtail.analysis.taxonomy import Taxonomy
from headtail.tensors import row_blocks, shown

__all__ = ["AttendedSimilarity", "attended_similarity"]


@dataclass(frozen=True, eq=False)
class AttendedSimilarity:
    """The classes that every class attends to most, strongest first.

    Attributes
    ----------
    attended
        Their positions, [n_classes, n]; -1 where a class attends to fewer.
    is_self
        Where that is the class itself: [n_classes, n].
    similarity
        Of the class and the one attended to, [n_classes, n]; NaN where there is none.
    chance
        Mean similarity of every class to all other classes: [n_classes].
    mean_similarity
        Mean over the classes of every rank, [n], without the entries of a class itself
        (those in `is_self`).
    n_similarity
        Entries that it is the mean of: [n].
    mean_chance
        Mean of `chance`, what classes attended to at random would reach.
    """

    attended: npt.NDArray[np.int64]
    is_self: npt.NDArray[np.bool_]
    similarity: npt.NDArray[np.float64]
    chance: npt.NDArray[np.float64]
    mean_similarity: npt.NDArray[np.float64]
    n_similarity: npt.NDArray[np.int64]
    mean_chance: float


def attended_similarity(
    attended: Any, taxonomy: Taxonomy, *, n: int = 10
) -> AttendedSimilarity:
    """Compare the classes that attention selects with a taxonomy.

    If features know nothing of the taxonomy, every rank is as similar as chance.

    Parameters
    ----------
    attended
        Shares [n_classes, n_classes], who receives by who gives, as an entry of
        `CompositionalClassifier.attention_`; equal shares rank in the order of classes,
        a share of 0 is nobody's. Or integers [n_classes, k]: positions of the classes
        attended to, strongest first, -1 for none.
    taxonomy
        Of the same classes in the same order, which for a classifier is `classes_`.
    n
        Most classes to look at, for every class.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022, supplement, figure 3 (of an attention with k = 0: all classes give).

    Examples
    --------
    >>> taxonomy = Taxonomy.from_paths([("a", 0), ("a", 1), ("b", 2), ("b", 3)])
    >>> shares = [[6, 3, 1, 0], [3, 6, 0, 1], [0, 1, 5, 4], [1, 0, 4, 5]]
    >>> result = attended_similarity(np.array(shares) / 10, taxonomy, n=2)
    >>> result.mean_similarity.round(2), round(result.mean_chance, 2)
    (array([ nan, 0.69]), 0.35)
    """
    if not isinstance(taxonomy, Taxonomy):
        raise TypeError(f"taxonomy must be a Taxonomy; got {type(taxonomy).__name__}.")
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}.")
    table, n_classes = as_numpy(attended), taxonomy.n_classes
    if table.ndim != 2 or len(table) != n_classes:
        raise ValueError(
            f"attended must have a row for each of the {n_classes} classes of the "
            f"taxonomy; got shape {list(table.shape)}."
        )
    top = _strongest(table, n) if table.dtype.kind == "f" else _listed(table, n)
    every = np.arange(n_classes)
    known = top >= 0
    similarity = taxonomy.similarity(every[:, None], np.where(known, top, 0))
    similarity[~known] = np.nan
    chance = np.full(n_classes, np.nan)
    for rows in row_blocks(n_classes, n_classes):
        block = taxonomy.similarity(every[rows, None], every)
        block[np.arange(len(block)), every[rows]] = np.nan
        chance[rows] = _mean(block, axis=1)
    is_self = top == every[:, None]
    others = np.where(is_self, np.nan, similarity)
    return AttendedSimilarity(
        attended=top,
        is_self=is_self,
        similarity=similarity,
        chance=chance,
        mean_similarity=_mean(others, axis=0),
        n_similarity=np.isfinite(others).sum(axis=0),
        mean_chance=float(_mean(chance, axis=0)),
    )


def _mean(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Mean of the finite entries; NaN if there are none."""
    n = np.asarray(np.isfinite(values).sum(axis=axis))
    return np.asarray(np.nansum(values, axis=axis) / np.where(n > 0, n, np.nan))


def _strongest(shares: npt.NDArray[Any], n: int) -> npt.NDArray[np.int64]:
    if shares.shape[1] != len(shares):
        raise ValueError(
            "Shares must be a square, who receives by who gives; got shape "
            f"{list(shares.shape)}. Pass integers if these are positions."
        )
    width = min(n, len(shares))
    top = np.empty((len(shares), width), dtype=np.int64)
    for rows in row_blocks(len(shares), len(shares)):
        block = shares[rows]
        if not (block >= 0).all():  # NaN fails as well
            raise ValueError(
                f"Shares must be at least 0; got {block.min()} in rows "
                f"{rows.start} … {rows.stop - 1}."
            )
        best = np.argsort(-block, axis=1, kind="stable")[:, :width]
        given = np.take_along_axis(block, best, axis=1) > 0
        top[rows] = np.where(given, best, -1)
    return top


def _listed(positions: npt.NDArray[Any], n: int) -> npt.NDArray[np.int64]:
    if positions.dtype.kind not in "iu":
        raise TypeError(
            "attended must hold shares (floating-point numbers) or positions "
            f"(integers); got {positions.dtype}."
        )
    top = positions[:, :n].astype(np.int64)
    wrong = top[(top < -1) | (top >= len(positions))]
    if wrong.size:
        raise ValueError(
            f"Positions attended to must be in -1 … {len(positions) - 1}; got "
            f"{shown(np.unique(wrong))}."
        )
    return top
