"""The door for arrays and tensors: what every estimator checks before it reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    column_or_1d,
    validate_data,
)
from torch import Tensor

from headtail.shards import ShardedArray
from headtail.tensors import as_tensor, row_blocks, shown

__all__ = ["HALF", "FeatureDoor", "check_finite", "computing_dtype"]

# Numbers checked for NaN at once: few enough to stay in the processor's cache.
_CHECKED_AT_ONCE = 2**18

HALF = (torch.float16, torch.bfloat16)


class FeatureDoor(BaseEstimator):
    """An estimator that takes features as arrays or tensors, without copying them."""

    n_features_in_: int

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Fit as a whole or not at all, whatever gradient mode the caller is in."""
        before = self.__dict__.copy()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _open_features(self, X: Any, *, reset: bool) -> Tensor:
        """Return X as a tensor that shares its memory; check its width."""
        if isinstance(X, ShardedArray):
            X = as_tensor(X)
        if not isinstance(X, Tensor):
            X = validate_data(self, X, reset=reset, ensure_all_finite=False)
            return _numbers(as_tensor(X))
        if X.layout != torch.strided or X.is_complex():
            raise TypeError(
                f"X must be a dense tensor of real numbers; got {X.layout}, {X.dtype}."
            )
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(
                "Expected 2D array of at least 1 sample and 1 feature; got a tensor of "
                f"shape {list(X.shape)}."
            )
        if reset:
            self.n_features_in_ = X.shape[1]
            self.__dict__.pop("feature_names_in_", None)
        elif X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return _numbers(X.detach())

    def _open_labelled(
        self, X: Any, y: Any, *, reset: bool
    ) -> tuple[Tensor, npt.NDArray[Any]]:
        """Return features as a tensor and labels as an array, both checked."""
        if isinstance(y, Tensor):
            y = y.detach().cpu().numpy()
        if isinstance(X, Tensor | ShardedArray):
            features = self._open_features(X, reset=reset)
            y = column_or_1d(y, warn=True)
            check_consistent_length(features, y)
        else:
            X, y = validate_data(self, X, y, reset=reset, ensure_all_finite=False)
            features = _numbers(as_tensor(X))
        check_classification_targets(y)
        return features, y

    def _work_device(self, features: Tensor) -> torch.device:
        device = getattr(self, "device", None)
        if device is None:
            return features.device
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device must be one that this torch can use; got {device!r} ({error})."
            ) from error


def computing_dtype(features: Tensor) -> torch.dtype:
    """Return float64 for float64 and integers, float32 for the rest."""
    low = {torch.float32, *HALF}
    return torch.float32 if features.dtype in low else torch.float64


def _numbers(features: Tensor) -> Tensor:
    """Return truth values as 0 and 1, everything else as it is."""
    return features.to(torch.uint8) if features.dtype == torch.bool else features


def check_finite(features: Tensor) -> None:
    """Refuse rows with NaN or inf; read block by block."""
    bad: list[int] = []
    for rows in row_blocks(len(features), features.shape[1], _CHECKED_AT_ONCE):
        finite = torch.isfinite(features[rows]).all(dim=1)
        bad += (rows.start + (~finite).nonzero().flatten()).tolist()
    if bad:
        raise ValueError(
            f"X must be finite; {len(bad)} rows hold NaN or inf (rows {shown(bad)}). "
            "Extract them again or drop them."
        )
