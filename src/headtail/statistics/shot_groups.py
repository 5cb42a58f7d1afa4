"""Many, medium and few: the evaluation groups by training count."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from headtail.tensors import shown

__all__ = ["Convention", "ShotGroups", "shot_group_rules", "shot_groups"]

Convention = Literal["decoupling", "ckt"]


@dataclass(frozen=True, slots=True)
class ShotGroups:
    """Which classes are many-, medium- and few-shot: three masks of n_classes."""

    many: npt.NDArray[np.bool_]
    medium: npt.NDArray[np.bool_]
    few: npt.NDArray[np.bool_]

    def items(self) -> tuple[tuple[str, npt.NDArray[np.bool_]], ...]:
        """Return (name, mask) of the groups, from many to few."""
        return ("many", self.many), ("medium", self.medium), ("few", self.few)


def shot_groups(
    class_counts: npt.ArrayLike,
    convention: Convention = "decoupling",
    *,
    few: int = 20,
    many: int = 100,
) -> ShotGroups:
    """Divide classes by their number of training examples.

    The two conventions of the field differ in where 20 and 100 themselves belong:
    ``"decoupling"`` counts both as medium (many > 100, few < 20), ``"ckt"`` counts
    100 as many and 20 as few (many >= 100, few <= 20).

    Parameters
    ----------
    class_counts
        Training examples per class, integers of at least 0.
    convention
        Whose inequalities to use.
    few, many
        The two numbers, with few <= many; the inequalities stay the convention's.

    Returns
    -------
    groups
        Masks of length n_classes; every class is in exactly one. With ``"ckt"`` and
        ``few == many`` a class with exactly that count is many-shot.

    Examples
    --------
    >>> shot_groups([19, 20, 100, 101]).medium
    array([False,  True,  True, False])
    >>> shot_groups([19, 20, 100, 101], "ckt").medium
    array([False, False, False, False])
    """
    counts = np.asarray(class_counts)
    if counts.ndim != 1 or (len(counts) and counts.dtype.kind not in "iu"):
        raise TypeError(
            "class_counts must be a one-dimensional array of integers; got "
            f"{counts.dtype} of shape {counts.shape}."
        )
    if (counts < 0).any():
        raise ValueError(
            f"class_counts must be at least 0; got {shown(counts[counts < 0])}."
        )
    if few > many:
        raise ValueError(f"few must not exceed many; got few={few}, many={many}.")
    if convention == "decoupling":
        is_many, is_few = counts > many, counts < few
    elif convention == "ckt":
        is_many = counts >= many
        is_few = (counts <= few) & ~is_many
    else:
        raise ValueError(
            f"convention must be 'decoupling' or 'ckt'; got {convention!r}."
        )
    return ShotGroups(many=is_many, medium=~is_many & ~is_few, few=is_few)


def shot_group_rules(
    convention: Convention = "decoupling", *, few: int = 20, many: int = 100
) -> dict[str, str]:
    """Write the inequalities of a convention, as `shot_groups` draws them.

    Examples
    --------
    >>> shot_group_rules()
    {'many': '> 100', 'medium': '20 to 100', 'few': '< 20'}
    >>> shot_group_rules("ckt")
    {'many': '≥ 100', 'medium': '21 to 99', 'few': '≤ 20'}
    """
    if convention == "decoupling":
        return {"many": f"> {many}", "medium": f"{few} to {many}", "few": f"< {few}"}
    medium = f"{few + 1} to {many - 1}"
    return {"many": f"≥ {many}", "medium": medium, "few": f"≤ {few}"}
