"""What a comparison keeps of a classifier that composes: who gave, and some maps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.analysis._arrays import as_numpy
from headtail.analysis.donations import Donations, donations
from headtail.analysis.maps import TransferMap, transfer_map
from headtail.labels import positions_of
from headtail.statistics import Convention, shot_groups

__all__ = ["Explanation", "explain"]

_MAPS = 6


@dataclass(frozen=True, eq=False)
class Explanation:
    """Who gave to whom, and maps of a few classes.

    Attributes
    ----------
    donations
        Of every class that was composed.
    maps
        Of some few-shot classes, from the most to the fewest training examples.
    """

    donations: Donations
    maps: tuple[TransferMap, ...]


def explain(
    classifier: Any,
    X: Any,
    y: Any,
    *,
    convention: Convention = "decoupling",
    n_donors: int = 5,
    n_maps: int = _MAPS,
) -> Explanation | None:
    """Return who gave to whom in a fitted classifier; None if it composes nothing.

    Parameters
    ----------
    classifier
        Fitted.
    X, y
        Validation or test features and labels, for the maps. They choose nothing:
        mapped are few-shot classes of those in `y`, sorted by their training examples
        and taken at even steps.
    convention
        Whose few-shot classes.
    n_donors
        Donors kept per class.
    n_maps
        Maps at most.
    """
    given = donations(classifier, n_donors)
    if given is None:
        return None
    mapped = _spaced(classifier, y, given, convention, n_maps)
    maps = [transfer_map(classifier, X, y, label) for label in mapped]
    return Explanation(given, tuple(one for one in maps if one is not None))


def _spaced(
    classifier: Any, y: Any, given: Donations, convention: Convention, n_maps: int
) -> list[Any]:
    counts = classifier.class_counts_
    occurring = np.unique(positions_of(as_numpy(y), classifier.classes_))
    able = np.intersect1d(given.receivers, occurring)
    able = able[shot_groups(counts, convention).few[able]]
    able = able[np.argsort(-counts[able], kind="stable")]
    picked: npt.NDArray[np.int64] = np.unique(
        np.linspace(0, len(able) - 1, min(n_maps, len(able))).round().astype(np.int64)
    )
    return list(classifier.classes_[able[picked]])
