"""What every class gained over the base, and how far its nearest neighbour is."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from headtail.analysis._arrays import as_numpy
from headtail.analysis.donations import donations
from headtail.labels import positions_of
from headtail.methods.transfer import (
    AlphaNetClassifier,
    CompositionalClassifier,
    MetaModelNetClassifier,
    ModelRegressionClassifier,
)
from headtail.statistics import shot_groups
from headtail.tensors import shown

__all__ = ["ClassGains", "NeighborGains", "class_gains", "gains_by_distance"]


@dataclass(frozen=True, eq=False)
class ClassGains:
    """One entry per class, in the order of `classes_`.

    Attributes
    ----------
    classes
        Labels.
    class_counts
        Training examples.
    gains
        Recall of the classifier minus that of its base; NaN for a class without an
        example in the data.
    n_samples
        Examples that the gains rest on.
    """

    classes: npt.NDArray[Any]
    class_counts: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]
    n_samples: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NeighborGains:
    """One entry per few-shot class, in the order of `classes_`.

    Attributes
    ----------
    classes
        Labels.
    distances
        From the class to its nearest neighbour, as in `Donations`; NaN for a class
        without neighbour.
    gains, n_samples
        As in `ClassGains`.
    """

    classes: npt.NDArray[Any]
    distances: npt.NDArray[np.float64]
    gains: npt.NDArray[np.float64]
    n_samples: npt.NDArray[np.int64]


def class_gains(
    classifier: AlphaNetClassifier
    | CompositionalClassifier
    | MetaModelNetClassifier
    | ModelRegressionClassifier,
    X: Any,
    y: Any,
) -> ClassGains:
    """Measure what every class gained over the base, or over the plain classifier.

    Beside `class_counts` this is what MetaModelNet's figure 3 shows, by shot group
    AlphaNet's figure 5. A class that the base has not been trained on, added later, is
    never predicted by it: its gain is its whole recall.

    Parameters
    ----------
    classifier
        Fitted.
    X, y
        Test features and labels, all of them labels of `classes_`.

    Examples
    --------
    >>> X = np.repeat([[1.0, 0.0], [0.0, 1.0], [0.7, 0.6]], [30, 30, 9], axis=0)
    >>> y = np.repeat(["a", "b", "c"], [30, 30, 9])
    >>> clf = AlphaNetClassifier(n_neighbors=2, epochs=2, random_state=0).fit(X, y)
    >>> class_gains(clf, X, y).n_samples
    array([30, 30,  9])
    """
    learned = (
        AlphaNetClassifier,
        CompositionalClassifier,
        MetaModelNetClassifier,
        ModelRegressionClassifier,
    )
    if not isinstance(classifier, learned):
        names = ", ".join(kind.__name__ for kind in learned)
        raise TypeError(
            f"classifier must be one of {names}; got {type(classifier).__name__}."
        )
    check_is_fitted(classifier, "head_")
    check_consistent_length(X, y)
    classes = classifier.classes_
    labels = as_numpy(y)
    positions = positions_of(labels, classes)
    if (positions < 0).any():
        raise ValueError(
            "y must hold labels of classes_ alone; it also holds "
            f"{shown(np.unique(labels[positions < 0]))}. Remove their rows."
        )
    before, after = (
        _recalls(fitted.predict(X) == labels, positions, len(classes))
        for fitted in (_base_of(classifier), classifier)
    )
    return ClassGains(
        classes=classes,
        class_counts=classifier.class_counts_,
        gains=after - before,
        n_samples=np.bincount(positions, minlength=len(classes)),
    )


def gains_by_distance(
    classifier: AlphaNetClassifier | CompositionalClassifier, X: Any, y: Any
) -> NeighborGains:
    """Measure each few-shot class's gain beside its neighbour's distance.

    Few-shot are classes of fewer than 20 training examples. The neighbours are the
    classes that could give: AlphaNet's base classes, or the other donors of the
    member with the most.

    Parameters
    ----------
    classifier
        Fitted.
    X, y
        As in `class_gains`.

    Raises
    ------
    ValueError
        If no member of a `CompositionalClassifier` has donors.

    References
    ----------
    Chang et al. "Alpha Net: Adaptation with Composition in Classifier Space."
    arXiv:2008.07073, figure 4b.

    Examples
    --------
    >>> X = np.repeat([[1.0, 0.0], [0.0, 1.0], [0.7, 0.6]], [30, 30, 9], axis=0)
    >>> y = np.repeat(["a", "b", "c"], [30, 30, 9])
    >>> clf = AlphaNetClassifier(n_neighbors=2, epochs=2, random_state=0).fit(X, y)
    >>> result = gains_by_distance(clf, X, y)
    >>> result.classes, result.distances.round(2), result.n_samples
    (array(['c'], dtype='<U1'), array([0.67]), array([9]))
    """
    if not isinstance(classifier, AlphaNetClassifier | CompositionalClassifier):
        raise TypeError(
            "classifier must be an AlphaNetClassifier or a CompositionalClassifier; "
            f"got {type(classifier).__name__}."
        )
    check_is_fitted(classifier, "head_")
    if isinstance(classifier, AlphaNetClassifier):
        few = classifier.few_classes_
        distances = classifier.neighbor_distances_[:, 0]
    else:
        given = donations(classifier, 1)
        if given is None:
            raise ValueError(
                "classifier must have a member with donors; its donors_ are "
                f"{classifier.donors_}. Fit it with donors=20, say."
            )
        few = shot_groups(classifier.class_counts_).few.nonzero()[0]
        distances = given.distances[few]
    every = class_gains(classifier, X, y)
    return NeighborGains(
        classes=every.classes[few],
        distances=distances,
        gains=every.gains[few],
        n_samples=every.n_samples[few],
    )


def _base_of(classifier: Any) -> Any:
    """Return the classifier as it was before it learned to transfer."""
    base = copy.copy(classifier)
    if isinstance(classifier, AlphaNetClassifier):
        base.head_ = classifier.base_head_
    elif isinstance(classifier, CompositionalClassifier):
        trained = classifier.trained_counts_ > 0
        rows = torch.from_numpy(trained.nonzero()[0])
        base.classes_ = classifier.classes_[trained]
        base.head_ = classifier.base_head_.select(rows, base.classes_)
    else:
        base.head_ = classifier.plain_head_
    return base


def _recalls(
    hits: npt.NDArray[np.bool_], positions: npt.NDArray[np.int64], n_classes: int
) -> npt.NDArray[np.float64]:
    sizes = np.bincount(positions, minlength=n_classes).astype(float)
    sums = np.bincount(positions, weights=hits, minlength=n_classes)
    return sums / np.where(sizes > 0, sizes, np.nan)
