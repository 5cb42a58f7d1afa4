"""What every few-shot class gained, and how far its nearest neighbour is."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_is_fitted

from headtail.labels import positions_of
from headtail.methods.transfer import AlphaNetClassifier
from headtail.tensors import as_tensor

__all__ = ["Gains", "gains_by_distance"]


@dataclass(frozen=True, eq=False)
class Gains:
    """One entry per few-shot class, in the order of `few_classes_`.

    Attributes
    ----------
    classes
        Labels.
    distances
        From the class's mean features to those of its nearest neighbour.
    gains
        Recall of the composed classifier minus that of the base; NaN for a class
        without an example in the data.
    n_samples
        Examples that the gains rest on.
    """

    classes: npt.NDArray[Any]
    distances: npt.NDArray[np.float64]
    gains: npt.NDArray[np.float64]
    n_samples: npt.NDArray[np.int64]


def gains_by_distance(classifier: AlphaNetClassifier, X: Any, y: Any) -> Gains:
    """Measure each few-shot class's gain beside its neighbour's distance (figure 4b).

    Parameters
    ----------
    classifier
        Fitted.
    X, y
        Test features and labels; labels outside `classes_` are refused.

    References
    ----------
    Chang et al. "Alpha Net: Adaptation with Composition in Classifier Space."
    arXiv:2008.07073, figures 4a and 4b.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.repeat([[1.0, 0.0], [0.0, 1.0], [0.7, 0.6]], [30, 30, 9], axis=0)
    >>> y = np.repeat(["a", "b", "c"], [30, 30, 9])
    >>> clf = AlphaNetClassifier(n_neighbors=2, epochs=2, random_state=0).fit(X, y)
    >>> result = gains_by_distance(clf, X, y)
    >>> result.classes, result.distances.round(2), result.n_samples
    (array(['c'], dtype='<U1'), array([0.67]), array([9]))
    """
    check_is_fitted(classifier, "head_")
    labels = np.asarray(as_tensor(y)) if isinstance(y, torch.Tensor) else np.asarray(y)
    positions = positions_of(labels, classifier.classes_)
    if (positions < 0).any():
        raise ValueError(
            "y must hold only labels of classes_; it holds others. Remove their rows."
        )
    base = copy.copy(classifier)
    base.head_ = classifier.base_head_
    before, after = (
        _recalls(fitted.predict(X) == labels, positions, len(classifier.classes_))
        for fitted in (base, classifier)
    )
    few = classifier.few_classes_
    return Gains(
        classes=classifier.classes_[few],
        distances=classifier.neighbor_distances_[:, 0],
        gains=(after - before)[few],
        n_samples=np.bincount(positions, minlength=len(classifier.classes_))[few],
    )


def _recalls(
    hits: npt.NDArray[np.bool_], positions: npt.NDArray[np.int64], n_classes: int
) -> npt.NDArray[np.float64]:
    sizes = np.bincount(positions, minlength=n_classes).astype(float)
    sums = np.bincount(positions, weights=hits, minlength=n_classes)
    return sums / np.where(sizes > 0, sizes, np.nan)
