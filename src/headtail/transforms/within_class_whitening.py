"""Whitening by the covariance that all classes share."""

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from headtail.heads import Head, whitened_head
from headtail.labels import positions_of
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._door import FeatureDoor, check_finite, computing_dtype
from headtail.methods._growth import merged_classes
from headtail.statistics import (
    WithinClassScatter,
    oas_shrinkage,
    shrink,
    whitening_map,
)
from headtail.tensors import row_blocks, shown

__all__ = ["WithinClassWhitening"]


class WithinClassWhitening(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, FeatureDoor
):
    """Map features so that classes scatter alike in all directions.

    (x - center) · map, where map is the symmetric root of the inverse of the pooled
    within-class covariance, shrunk. The classes with many examples supply it; the
    others profit. It is computed from sums, in one pass and without training: more
    examples and classes can be added, and examples forgotten.

    Parameters
    ----------
    shrinkage : float or "auto"
        Of the covariance towards its mean variance times the identity, 0 … 1. "auto"
        is the oracle approximating shrinkage (OAS) of scikit-learn, its number of
        samples less one for every class.
    center : "class-means", "samples" or None
        What is subtracted: the mean of the class means, in which rare classes count
        as much as frequent ones; that of all samples; nothing.
    device : str, torch.device or None
        Where the work is done; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen; those that `partial_fit` added stand at the end.
    scatter_ : WithinClassScatter
        The sums that everything is computed from.
    shrinkage_ : float
        The shrinkage that was used.
    map_ : Tensor of shape (n_features, n_features)
        Symmetric, float64.
    center_ : Tensor of shape (n_features,)
        Zeros for ``center=None``.
    n_features_in_ : int
        Number of features seen during `fit`.

    Notes
    -----
    Constant features have no variance to be scaled by. With any shrinkage they come
    out near 0 where they are centered; with none, what rounding makes of them is
    scaled up, and no NaN arises. Without a class of two examples nothing is known of
    the covariance, and the map is the identity. Every `partial_fit` computes the map
    anew, from an eigendecomposition: batches should not be small.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 500)
    >>> X = np.stack([y, y], axis=1) + rng.normal(size=(1000, 2)) * [1.0, 9.0]
    >>> Z = WithinClassWhitening(shrinkage=0.0).fit_transform(X, y)
    >>> Z[y == 0].std(axis=0).round(1), Z[y == 1].std(axis=0).round(1)
    (array([1., 1.]), array([1., 1.]))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "center": [StrOptions({"class-means", "samples"}), None],
        "device": [str, torch.device, None],
    }

    classes_: npt.NDArray[Any]
    scatter_: WithinClassScatter
    shrinkage_: float
    map_: Tensor
    center_: Tensor

    def __init__(
        self,
        shrinkage: Any = "auto",
        center: Any = "class-means",
        *,
        device: Any = None,
    ) -> None:
        self.shrinkage = shrinkage
        self.center = center
        self.device = device

    def __sklearn_tags__(self) -> Tags:
        """Say that y is needed, and that float32 stays float32."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any) -> "WithinClassWhitening":
        """Learn the map from features (n_samples, n_features) with labels y."""
        with self._fitting():
            for fitted in ("classes_", "scatter_"):
                self.__dict__.pop(fitted, None)
            self._add(X, y)
        return self

    def partial_fit(self, X: Any, y: Any) -> "WithinClassWhitening":
        """Add examples, of known and new classes, as if they had been there before."""
        with self._fitting():
            self._add(X, y)
        return self

    def forget(self, X: Any, y: Any) -> "WithinClassWhitening":
        """Take examples away again that were added before."""
        check_is_fitted(self, "scatter_")
        with self._fitting():
            features, labels = self._opened(X, y, reset=False)
            positions = positions_of(labels, self.classes_)
            if (positions < 0).any():
                raise ValueError(
                    "forget can only take away examples of known classes; "
                    f"{shown(np.unique(labels[positions < 0]))} are not known."
                )
            scatter = self.scatter_.copy()
            self.scatter_ = scatter.forget(features, torch.from_numpy(positions))
            self._update_map()
        return self

    def merge(self, other: "WithinClassWhitening") -> "WithinClassWhitening":
        """Add the examples that another one was fitted on."""
        if not isinstance(other, WithinClassWhitening):
            raise TypeError(
                f"other must be a WithinClassWhitening; got {type(other).__name__}."
            )
        check_is_fitted(self, "scatter_")
        check_is_fitted(other, "scatter_")
        self._validate_params()
        mine, theirs = (
            list(getattr(one, "feature_names_in_", ())) for one in (self, other)
        )
        if mine and theirs and mine != theirs:
            raise ValueError(
                "Both must have seen the same feature names in the same order; got "
                f"{shown(mine)} and {shown(theirs)}."
            )
        if other.n_features_in_ != self.n_features_in_:
            raise ValueError(
                "Both must have seen the same features; got "
                f"{self.n_features_in_} and {other.n_features_in_}."
            )
        with self._fitting():
            merged = merged_classes(self.classes_, other.classes_)
            places = torch.from_numpy(positions_of(other.classes_, merged))
            part = other.scatter_.select(places, len(merged))
            self._grow_to(merged)
            self.scatter_.merge(part)
            self._update_map()
        return self

    def transform(self, X: Any) -> Any:
        """Return whitened features: an array of an array, a tensor of a tensor."""
        check_is_fitted(self, "map_")
        features = self._open_features(X, reset=False)
        check_finite(features)
        dtype = computing_dtype(features)
        map, center = self.map_.to(dtype), self.center_.to(dtype)
        whitened = torch.empty(features.shape, dtype=dtype, device=features.device)
        for rows in row_blocks(*features.shape):
            block = features[rows].to(map.device, dtype)
            whitened[rows] = ((block - center) @ map).to(features.device)
        return whitened if isinstance(X, Tensor) else whitened.numpy()

    def carried_by(self, head: Head) -> Head:
        """Return a head on raw features from one that was made on whitened ones.

        The map is folded into the weight and bias of a linear head; another head is
        wrapped. Either saves and loads like any head.
        """
        check_is_fitted(self, "map_")
        return whitened_head(head, self.map_, self.center_)

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    def _opened(
        self, X: Any, y: Any, *, reset: bool
    ) -> tuple[Tensor, npt.NDArray[Any]]:
        self._validate_params()
        features, labels = self._open_labelled(X, y, reset=reset)
        check_finite(features)
        return features, labels

    def _add(self, X: Any, y: Any) -> None:
        first = not hasattr(self, "scatter_")
        features, labels = self._opened(X, y, reset=first)
        merged = merged_classes(np.empty(0) if first else self.classes_, labels)
        if first:
            self.scatter_ = WithinClassScatter(
                0, features.shape[1], device=self._work_device(features)
            )
        self._grow_to(merged)
        self.scatter_.update(features, torch.from_numpy(positions_of(labels, merged)))
        self._update_map()

    def _grow_to(self, classes: npt.NDArray[Any]) -> None:
        self.classes_ = classes
        every = torch.arange(self.scatter_.n_classes)
        self.scatter_ = self.scatter_.select(every, len(classes))

    def _update_map(self) -> None:
        scatter = self.scatter_
        covariance = scatter.covariance
        freedom = scatter.degrees_of_freedom
        auto = isinstance(self.shrinkage, str)
        self.shrinkage_ = (
            oas_shrinkage(covariance, freedom) if auto else float(self.shrinkage)
        )
        self.map_ = whitening_map(shrink(covariance, self.shrinkage_))
        counts = scatter.class_counts
        self.center_ = torch.zeros_like(covariance[0])
        if self.center == "class-means" and (counts > 0).any():
            self.center_ = scatter.means[counts > 0].mean(dim=0)
        if self.center == "samples" and (counts > 0).any():
            self.center_ = scatter.statistics.sums.sum(dim=0) / counts.sum()
