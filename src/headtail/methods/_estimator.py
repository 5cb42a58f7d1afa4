"""What every method shares: the door for arrays, and prediction with a head."""

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from torch import Tensor

from headtail.heads import Head
from headtail.methods._files import save_classifier
from headtail.statistics import ClassStatistics
from headtail.tensors import as_tensor, row_blocks, shown

__all__ = ["HeadClassifier", "check_directions", "check_finite", "computing_dtype"]


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier whose fitted form is a head.

    Subclasses fit `classes_`, `class_counts_` and `head_`, and name in `_saved` what
    else a saved classifier needs.
    """

    _saved: ClassVar[tuple[str, ...]] = ()

    classes_: npt.NDArray[Any]
    class_counts_: npt.NDArray[np.int64]
    class_names_: tuple[str, ...]
    head_: Head
    n_features_in_: int

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of every sample."""
        best = self._map_logits(X, lambda logits: logits.argmax(dim=1))
        return self.classes_[best.numpy()]

    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """Return class probabilities of shape (n_samples, n_classes)."""
        return self._map_logits(X, lambda logits: logits.softmax(dim=1)).numpy()

    def decision_function(self, X: Any) -> npt.NDArray[Any]:
        """Return the logits; their difference if there are two classes."""
        logits = self._map_logits(X, lambda logits: logits).numpy()
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def save_classifier(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to one safetensors file.

        `headtail.load_classifier` reads it back, `headtail.load_head` its head alone.
        """
        check_is_fitted(self, "head_")
        save_classifier(self, path)

    def _map_logits(self, X: Any, function: Callable[[Tensor], Tensor]) -> Tensor:
        check_is_fitted(self, "head_")
        features = self._open_features(X, reset=False)
        check_finite(features)
        example = next(self.head_.parameters())
        size = max(self.head_.n_features, self.head_.n_classes)
        parts = []
        with torch.inference_mode():
            for rows in row_blocks(len(features), size):
                block = features[rows].to(example.device, example.dtype)
                parts.append(function(self.head_(block)).cpu())
        return torch.cat(parts)

    def _open_features(self, X: Any, *, reset: bool) -> Tensor:
        """Return X as a tensor that shares its memory; check its width."""
        if not isinstance(X, Tensor):
            X = validate_data(self, X, reset=reset, ensure_all_finite=False)
            return as_tensor(X)
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(
                "Expected 2D array of at least 1 sample and 1 feature; got a tensor of "
                f"shape {list(X.shape)}."
            )
        if reset:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return X.detach()

    def _open_labelled(
        self, X: Any, y: Any, *, reset: bool
    ) -> tuple[Tensor, npt.NDArray[Any]]:
        """Return features as a tensor and labels as an array, both checked."""
        if isinstance(y, Tensor):
            y = y.detach().cpu().numpy()
        if isinstance(X, Tensor):
            features = self._open_features(X, reset=reset)
            y = column_or_1d(y, warn=True)
            check_consistent_length(features, y)
        else:
            X, y = validate_data(self, X, y, reset=reset, ensure_all_finite=False)
            features = as_tensor(X)
        check_classification_targets(y)
        return features, y

    def _open_fit(self, X: Any, y: Any) -> tuple[Tensor, Tensor]:
        """Validate everything for `fit`; return features and class positions."""
        self._validate_params()
        features, y = self._open_labelled(X, y, reset=True)
        classes, positions, counts = np.unique(
            y, return_inverse=True, return_counts=True
        )
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes in y; got 1 class "
                f"({shown(classes)})."
            )
        self.classes_, self.class_counts_ = classes, counts.astype(np.int64)
        return features, torch.from_numpy(positions.reshape(-1).astype(np.int64))

    def _work_device(self, features: Tensor) -> torch.device:
        device = getattr(self, "device", None)
        return features.device if device is None else torch.device(device)


def check_directions(statistics: ClassStatistics, classes: npt.NDArray[Any]) -> None:
    """Refuse a class all of whose examples are zero: it has no direction."""
    empty = (statistics.zero_counts == statistics.class_counts).cpu().numpy()
    if empty.any():
        raise ValueError(
            "Every class must have an example that is not all zero; all features of "
            f"classes {shown(classes[empty])} are zero. Extract them again or drop "
            "those classes."
        )


def computing_dtype(features: Tensor) -> torch.dtype:
    """Return float64 for float64 and integers, float32 for the rest."""
    low = {torch.float32, torch.float16, torch.bfloat16}
    return torch.float32 if features.dtype in low else torch.float64


def check_finite(features: Tensor) -> None:
    """Refuse rows with NaN or inf; read block by block."""
    bad: list[int] = []
    for rows in row_blocks(*features.shape):
        finite = torch.isfinite(features[rows]).all(dim=1)
        bad += (rows.start + (~finite).nonzero().flatten()).tolist()
    if bad:
        raise ValueError(
            f"X must be finite; {len(bad)} rows hold NaN or inf (rows {shown(bad)}). "
            "Extract them again or drop them."
        )
