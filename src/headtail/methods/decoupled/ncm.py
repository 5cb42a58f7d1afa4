"""Nearest class mean: the classifier that needs no training."""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from sklearn.utils.metaestimators import available_if
from torch import Tensor

from headtail.heads import CosineHead, Head, LinearHead
from headtail.methods._constraints import StrOptions
from headtail.methods._door import computing_dtype
from headtail.methods._estimator import HeadClassifier, check_directions
from headtail.methods._from_statistics import open_statistics
from headtail.methods._growth import grow, merged_classes
from headtail.statistics import ClassStatistics
from headtail.tensors import row_blocks, unit

__all__ = ["NearestClassMeanClassifier", "nearest_mean_weights"]

Metric = Literal["cosine", "euclidean", "centered"]

# Sharpness of the probabilities on unit features, as in cosine heads; it changes no
# prediction.
_SCALE = 16.0


def nearest_mean_weights(
    means: Float[Tensor, "n_classes n_features"], scale: float = 1.0
) -> tuple[Float[Tensor, "n_classes n_features"], Float[Tensor, " n_classes"]]:
    """Return weight and bias whose logits rank classes by distance to their mean.

    scale · (x·m - ½‖m‖²) is -½·scale·‖x - m‖² up to a constant per x.

    Examples
    --------
    >>> import torch
    >>> weight, bias = nearest_mean_weights(torch.tensor([[0.0, 2.0]]))
    >>> weight.tolist(), bias.tolist()
    ([[0.0, 2.0]], [-2.0])
    """
    return scale * means, -0.5 * scale * means.square().sum(dim=1)


def _has_partial_fit(estimator: Any) -> bool:
    return bool(estimator.metric != "centered")


class NearestClassMeanClassifier(HeadClassifier):
    """Give every sample the class whose mean is nearest.

    Parameters
    ----------
    metric : {"cosine", "euclidean", "centered"}
        ``"cosine"``: angle between the features and the mean of the class's unit
        features. ``"euclidean"``: distance between raw features and raw means.
        ``"centered"``: the mean of all training features is subtracted, the rest
        scaled to unit length, and the Euclidean distance to the class means of that
        taken; they are not scaled again. It needs all data at once, so it has no
        `partial_fit`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; those that `partial_fit` added stand at the end.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class.
    head_ : CosineHead or LinearHead
        The means as a head on raw features.
    statistics_ : ClassStatistics
        What the means are computed from.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Kang et al. "Decoupling Representation and Classifier for Long-Tailed
    Recognition." ICLR 2020, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [0.2, 1.0], [3.0, 0.0], [3.0, 0.1]])
    >>> ncm = NearestClassMeanClassifier().fit(X, ["a", "a", "b", "b"])
    >>> ncm.partial_fit([[-1.0, -1.0]], ["new"]).predict([[-2.0, -1.5]])
    array(['new'], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "metric": [StrOptions({"cosine", "euclidean", "centered"})]
    }
    _saved: ClassVar[tuple[str, ...]] = ("statistics_",)

    statistics_: ClassStatistics

    def __init__(self, metric: Metric = "cosine") -> None:
        self.metric = metric

    def fit(self, X: Any, y: Any) -> "NearestClassMeanClassifier":
        """Compute the class means of features X with labels y."""
        with self._fitting():
            features, positions = self._open_fit(X, y)
            shape = (len(self.classes_), features.shape[1])
            statistics = ClassStatistics(*shape, device=features.device)
            statistics.update(features, positions)
            if self.metric != "euclidean":
                check_directions(statistics.nonzero_counts, self.classes_)
            center = statistics.sums.sum(dim=0) / len(features)
            if self.metric == "centered":
                statistics = _centered_statistics(features, positions, center, *shape)
            self.statistics_ = statistics
            self.head_ = self._build_head(computing_dtype(features), center)
        return self

    @available_if(_has_partial_fit)  # type: ignore[untyped-decorator]
    def fit_statistics(
        self, statistics: ClassStatistics, classes: npt.ArrayLike | None = None
    ) -> "NearestClassMeanClassifier":
        """Take the class means from statistics of a data set; see `ClassStatistics`.

        The result is that of `fit` on the examples, in float32.

        Parameters
        ----------
        statistics
            Of every class at least one example.
        classes
            Labels of the classes; None for 0 … n_classes-1.
        """
        with self._fitting():
            self.statistics_ = open_statistics(self, statistics, classes)
            self._take_means(torch.float32)
        return self

    @available_if(_has_partial_fit)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, classes: npt.ArrayLike | None = None
    ) -> "NearestClassMeanClassifier":
        """Add examples and new classes; on an unfitted estimator this is `fit`.

        The result is that of one `fit` on all examples, with the classes in the order
        in which they came. Labels outside `classes`, if given, are refused.
        """
        if not hasattr(self, "head_"):
            merged_classes(np.empty(0), y, classes)
            return self.fit(X, y)
        with self._fitting():
            grow(self, X, y, classes)
        return self

    def _recompose(self, origins: npt.NDArray[np.int64]) -> None:
        """Build the head of statistics that have changed; nothing else was learned."""
        self._take_means(next(self.head_.parameters()).dtype)

    def _take_means(self, dtype: torch.dtype) -> None:
        total = self.statistics_
        if self.metric != "euclidean":
            check_directions(total.nonzero_counts, self.classes_)
        center = total.sums.sum(dim=0) / total.class_counts.sum()
        self.head_ = self._build_head(dtype, center)

    def _build_head(self, dtype: torch.dtype, center: Tensor) -> Head:
        if self.metric == "cosine":
            prototypes = self.statistics_.prototypes.to(dtype)
            return CosineHead(prototypes, _SCALE, classes=self.classes_)
        unit_features = self.metric == "centered"
        # Distances do not mind a shift, but far from the origin float32 does.
        means = self.statistics_.means - (0 if unit_features else center)
        weight, bias = nearest_mean_weights(means, _SCALE if unit_features else 1.0)
        return LinearHead(
            weight.to(dtype),
            bias.to(dtype),
            center=center.to(dtype),
            normalize=unit_features,
            classes=self.classes_,
        )


def _centered_statistics(
    features: Tensor, positions: Tensor, center: Tensor, n_classes: int, n_features: int
) -> ClassStatistics:
    """Return statistics of the centred unit features, in a second read."""
    statistics = ClassStatistics(n_classes, n_features, device=features.device)
    for rows in row_blocks(len(features), n_features):
        block = unit(features[rows].to(center) - center)
        statistics.update(block, positions[rows])
    return statistics
