"""How long the classifier's weights are, beside the number of training examples."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from sklearn.utils.validation import check_is_fitted

from headtail.analysis._arrays import as_numpy
from headtail.heads import Head, linear_form

__all__ = ["WeightNorms", "weight_norms"]

# Lengths of unit vectors differ by rounding alone, a few units in the last place.
_ROUNDING = 4


@dataclass(frozen=True, eq=False)
class WeightNorms:
    """One entry per class, in the order of `classes`.

    Attributes
    ----------
    classes
        Labels; 0 … n_classes-1 if they are not known.
    class_counts
        Training examples; None if they are not known.
    norms
        Length of the weight, in units of the head's logits per unit of its features.
    rank_correlation
        Spearman's, of lengths and counts, -1 to 1. NaN where counts are not known, or
        all lengths or all counts are equal.
    """

    classes: npt.NDArray[Any]
    class_counts: npt.NDArray[np.int64] | None
    norms: npt.NDArray[np.float64]
    rank_correlation: float


def weight_norms(classifier: Any, *, class_counts: Any = None) -> WeightNorms:
    """Measure the length of every class's weight in the linear form of a head.

    Classes with long weights get large logits, whatever the features. The correlation
    of lengths and counts tells whether these are the frequent classes. A cosine head
    has equal lengths, and no correlation.

    Parameters
    ----------
    classifier
        A fitted classifier of headtail, or a head.
    class_counts
        Training examples per class [n_classes], in the order of the head's rows; None
        for those that the classifier knows.

    Raises
    ------
    TypeError
        If a class of the head has no single weight vector (as in an ensemble).
    ValueError
        If there is not one count per class.

    References
    ----------
    Kang et al. "Decoupling Representation and Classifier for Long-Tailed Recognition."
    ICLR 2020.

    Examples
    --------
    >>> from headtail import LinearHead
    >>> head = LinearHead(torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]]))
    >>> result = weight_norms(head, class_counts=[90, 20, 5])
    >>> result.norms, round(result.rank_correlation, 3)  # the more, the longer
    (array([5., 2., 1.]), 1.0)
    """
    head = classifier
    if not isinstance(classifier, Head):
        if not hasattr(classifier, "fit"):
            raise TypeError(
                "classifier must be a fitted classifier of headtail or a head of "
                f"headtail.heads; got {type(classifier).__name__}. Put the weight of "
                "another module into a LinearHead."
            )
        check_is_fitted(classifier)
        head = getattr(classifier, "head_", None)
        if not isinstance(head, Head):
            raise TypeError(
                "classifier must have a head of headtail.heads in head_; "
                f"{type(classifier).__name__} has none."
            )
        if class_counts is None:
            class_counts = classifier.class_counts_
    weight = linear_form(head).weight.detach()
    norms = torch.linalg.vector_norm(weight.double(), dim=1).cpu().numpy()
    classes = getattr(classifier, "classes_", head.classes)
    counts, correlation = None, np.nan
    if class_counts is not None:
        counts = _checked(class_counts, len(norms))
        rounding = _ROUNDING * torch.finfo(weight.dtype).eps * norms.max()
        if np.ptp(norms) > rounding and np.ptp(counts) > 0:
            correlation = float(spearmanr(norms, counts).statistic)
    return WeightNorms(
        classes=np.arange(len(norms)) if classes is None else classes,
        class_counts=counts,
        norms=norms,
        rank_correlation=correlation,
    )


def _checked(class_counts: Any, n_classes: int) -> npt.NDArray[np.int64]:
    counts = as_numpy(class_counts)
    if counts.shape != (n_classes,) or counts.dtype.kind not in "iu":
        raise ValueError(
            f"class_counts must be {n_classes} integers, one per row of the head; got "
            f"{counts.dtype} of shape {list(counts.shape)}."
        )
    if (counts < 0).any():
        raise ValueError(f"class_counts must be at least 0; got {counts.min()}.")
    return counts.astype(np.int64)
