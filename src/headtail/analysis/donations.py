"""Who gave to whom: for every class the donors of its classifier and their shares."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from headtail.analysis._composed import Composed, composed_of
from headtail.methods.transfer import AlphaNetClassifier
from headtail.tensors import row_blocks

__all__ = ["Donations", "donations"]


@dataclass(frozen=True, eq=False)
class Donations:
    """What every receiver took from its strongest donors.

    Attributes
    ----------
    classes
        Labels of all classes.
    receivers
        Positions of the classes that were composed: [n_receivers].
    donors
        Positions of their strongest donors, the strongest first; a receiver may be a
        donor of its own: [n_receivers, n_donors].
    shares
        Shares of these donors, the same shape. Of attention: from 0 to 1, and all
        donors' shares sum to 1. Of AlphaNet: coefficients, of either sign.
    distances
        From the class to its nearest donor that is not itself: [n_receivers], NaN where
        there is none. Between unit prototypes; of AlphaNet between mean features.
    """

    classes: npt.NDArray[Any]
    receivers: npt.NDArray[np.int64]
    donors: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    distances: npt.NDArray[np.float64]


def donations(classifier: Any, n: int = 5) -> Donations | None:
    """Return who gave to whom in a fitted classifier; None if it composes nothing.

    Of an ensemble the shares are means over its members that transfer.

    Parameters
    ----------
    classifier
        Fitted. Compositional and count-aware transfer and AlphaNet compose; what any
        other estimator learns of one class it does not take from another's weight.
    n
        Donors per receiver, at least 1; fewer where there are no more.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022, equation 5. Chang et al. "Alpha Net: Adaptation with Composition in
    Classifier Space." arXiv:2008.07073, equation 2.

    Examples
    --------
    >>> from headtail import CompositionalClassifier, CosineHead
    >>> base = CosineHead(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.4]]))
    >>> X = torch.tensor([[4.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 1.0], [2.0, 1.0]])
    >>> clf = CompositionalClassifier(base, donors=1).fit(X, [0, 0, 1, 1, 2])
    >>> found = donations(clf, n=1)
    >>> found.donors[2], found.shares[2].round(2)  # class 2 is mostly like class 0
    (array([0]), array([0.99]))
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}.")
    if isinstance(classifier, AlphaNetClassifier):
        check_is_fitted(classifier)
        return _of_coefficients(classifier, n)
    composed = composed_of(classifier)
    return None if composed is None else _of_attention(classifier, composed, n)


def _of_attention(classifier: Any, composed: Composed, n: int) -> Donations:
    receivers = composed.receivers
    gives = np.logical_or.reduce(composed.donors)
    given = torch.from_numpy(gives.nonzero()[0])
    width = min(n, len(given))
    shares = composed.shares(receivers)
    # Of donors alone: the share of a distant one may be 0, as that of all others.
    best = [block[:, given].topk(width, dim=1) for block in shares]
    return Donations(
        classes=classifier.classes_,
        receivers=receivers,
        donors=given[torch.cat([part.indices for part in best])].numpy(),
        shares=torch.cat([part.values for part in best]).double().numpy(),
        distances=_nearest(composed.prototypes, gives)[receivers],
    )


def _of_coefficients(classifier: AlphaNetClassifier, n: int) -> Donations:
    order = np.argsort(-np.abs(classifier.coefficients_[:, 1:]), axis=1, kind="stable")
    order = order[:, :n]
    distances = classifier.neighbor_distances_
    return Donations(
        classes=classifier.classes_,
        receivers=classifier.few_classes_,
        donors=np.take_along_axis(classifier.neighbors_, order, axis=1),
        shares=np.take_along_axis(
            np.asarray(classifier.coefficients_[:, 1:], dtype=np.float64), order, axis=1
        ),
        distances=np.asarray(distances.min(axis=1), dtype=np.float64),
    )


def _nearest(
    prototypes: Tensor, gives: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the distance of every class to the nearest donor but itself."""
    positions = torch.from_numpy(gives.nonzero()[0])
    donors = prototypes[positions].double()
    nearest = torch.full((len(prototypes),), torch.nan, dtype=torch.float64)
    for rows in row_blocks(len(prototypes), len(donors)):
        distances = torch.cdist(prototypes[rows].double(), donors)
        own = torch.arange(len(prototypes))[rows, None] == positions
        nearest[rows] = distances.masked_fill(own, torch.inf).min(dim=1).values
    return nearest.masked_fill(nearest.isinf(), torch.nan).numpy()
