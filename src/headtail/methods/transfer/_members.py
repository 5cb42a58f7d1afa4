"""Which members an ensemble has: donor thresholds, and classifiers without transfer."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

__all__ = ["Member", "choose_members"]

Member = int | Literal["prototypes", "no-transfer"]

# The papers' three thresholds, one for each shot group.
_SHOTS = (0, 20, 100)
_WITHOUT_TRANSFER = ("prototypes", "no-transfer")


def choose_members(
    donors: Any, trained_counts: npt.NDArray[np.int64]
) -> tuple[Member, ...]:
    """Return the ensemble's members, refusing thresholds that leave no donor."""
    most = int(trained_counts.max())
    if isinstance(donors, str) and donors == "shots":
        return tuple(k for k in _SHOTS if k < most)
    listed = [donors] if isinstance(donors, str | Integral) else donors
    if not isinstance(listed, Sequence | np.ndarray):
        raise TypeError(
            "donors must be 'shots', a member or a sequence of members; got "
            f"{donors!r}."
        )
    if not len(listed):
        raise ValueError("donors must hold at least one member; got none.")
    return tuple(_member(member, most) for member in listed)


def _member(member: Any, most: int) -> Member:
    if isinstance(member, str) and member in _WITHOUT_TRANSFER:
        return cast(Member, member)
    if isinstance(member, bool | str) or not isinstance(member, Integral):
        raise ValueError(
            "A member of donors must be an int of at least 0, 'prototypes' or "
            f"'no-transfer'; got {member!r}."
        )
    threshold = int(member)
    if not 0 <= threshold < most:
        raise ValueError(
            "A threshold in donors must be at least 0 and less than the examples of "
            f"some trained class; got {threshold}, the largest has {most}. Thresholds "
            f"0 to {most - 1} work."
        )
    return threshold
