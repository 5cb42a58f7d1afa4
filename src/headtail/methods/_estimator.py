"""What every method shares: the door for arrays, and prediction with a head."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import (
    check_is_fitted,
)
from torch import Tensor

from headtail.heads import Head
from headtail.methods._door import HALF, FeatureDoor, check_finite
from headtail.methods._files import save_classifier
from headtail.tensors import row_blocks, shown

__all__ = ["HeadClassifier", "check_directions"]


class HeadClassifier(ClassifierMixin, FeatureDoor):
    """A scikit-learn classifier whose fitted form is a head.

    Subclasses fit `classes_`, `class_counts_` and `head_`, and name in `_saved` what
    else a saved classifier needs.
    """

    _saved: ClassVar[tuple[str, ...]] = ()

    # Sizes of the saved arrays that are not one number per class, by name or number.
    _shapes: ClassVar[dict[str, tuple[str | int, ...]]] = {}

    # Parameters that a fitted estimator can take other values of without another fit.
    _adjustable: ClassVar[frozenset[str]] = frozenset()

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
                logits = self.head_(block)
                if logits.dtype in HALF:  # NumPy has no bfloat16
                    logits = logits.float()
                parts.append(function(logits).cpu())
        return torch.cat(parts)

    def _predict_candidates(
        self, features: Tensor, candidates: Sequence[Mapping[str, Any]]
    ) -> Tensor:
        """Return the positions predicted with other values of `_adjustable` parameters.

        [n_candidates, n_samples], from one fit.
        """
        parts = []
        for candidate in candidates:
            adjusted = self._adjusted_to(candidate)
            parts.append(adjusted._map_logits(features, lambda z: z.argmax(dim=1)))
        return torch.stack(parts)

    def _adjusted_to(self, candidate: Mapping[str, Any]) -> "HeadClassifier":
        """Return a fitted copy with other values of `_adjustable` parameters."""
        # Whoever names parameters in `_adjustable` says here what they change.
        assert not candidate
        return self

    def _check_loaded(self) -> None:
        """Raise ValueError where loaded attributes do not make sense together."""

    def _open_fit(self, X: Any, y: Any) -> tuple[Tensor, Tensor]:
        """Validate everything for `fit`; return features and class positions."""
        self._validate_params()
        self.__dict__.pop("class_names_", None)  # those of an earlier fit
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


def check_directions(nonzero_counts: Tensor, classes: npt.NDArray[Any]) -> None:
    """Refuse a class without an example that is not zero: it has no direction."""
    empty = (nonzero_counts == 0).cpu().numpy()
    if empty.any():
        raise ValueError(
            "Every class must have an example that is not all zero; all features of "
            f"classes {shown(classes[empty])} are zero. Extract them again or drop "
            "those classes."
        )
