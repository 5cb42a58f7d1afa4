"""What τ-normalisation and logit adjustment share: one number, chosen or given."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from sklearn.base import MetaEstimatorMixin
from torch import Tensor

from headtail.heads import Head, affine_head
from headtail.methods._base_head import fitted_base
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._door import check_finite
from headtail.methods._estimator import HeadClassifier
from headtail.methods._selection import Selection
from headtail.methods._validation import select_on_validation
from headtail.methods.base import LinearClassifier
from headtail.methods.decoupled._formulas import predict_affine

__all__ = ["AdjustedClassifier"]


class AdjustedClassifier(MetaEstimatorMixin, HeadClassifier):
    """Base of the classifiers that scale or shift a base's logits class by class."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "base": "no_validation",
        "tau": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "device": [str, torch.device, None],
    }
    _saved: ClassVar[tuple[str, ...]] = ("base_head_", "tau_", "selection_")
    _adjustable: ClassVar[frozenset[str]] = frozenset({"tau"})
    _grid: ClassVar[tuple[float, ...]]

    base: Any
    tau: Any
    validation_fraction: float
    random_state: Any
    device: Any

    base_head_: Head
    tau_: float
    selection_: Selection | None

    def fit(
        self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None
    ) -> "AdjustedClassifier":
        """Fit the base, if it is not trained, and adjust it.

        With ``tau="auto"``, the base is fitted on the training data without a held-out
        part, tau is chosen on that part, and the base is fitted again on all of it.
        `validation`, a pair (X, y), takes the place of the part: one fit is enough.
        """
        with self._fitting():
            features, positions = self._open_fit(X, y)
            check_finite(features)
            self._check_settings()
            if validation is not None and self.tau != "auto":
                raise ValueError(
                    f"validation is what tau='auto' is chosen on; tau is {self.tau!r}. "
                    "Set tau='auto', or leave the validation data out."
                )
            self.selection_, head = None, None
            if self.tau == "auto":
                self.selection_, trial = select_on_validation(
                    self, "tau", self._grid, features, positions, validation
                )
                self.tau_ = float(self.selection_.best["tau"])
                head = trial.base_head_ if validation is not None else None
            else:
                self.tau_ = float(self.tau)
            if head is None:
                head = fitted_base(self, LinearClassifier(), features, positions)
            self.base_head_ = self._prepared(head)
            self.head_ = self._adjusted(self.tau_)
        return self

    def _check_settings(self) -> None:
        """Refuse what `_parameter_constraints` cannot say."""

    def _prepared(self, head: Head) -> Head:
        """Return the base head that the factors apply to."""
        return head

    @abstractmethod
    def _factors(self, tau: float) -> tuple[Tensor | None, Tensor | None]:
        """Return the scale and the bias of every class, or None for none."""

    def _adjusted(self, tau: float) -> Head:
        scale, bias = self._factors(tau)
        return affine_head(self.base_head_, scale=scale, bias=bias)

    def _predict_candidates(
        self, features: Tensor, candidates: Sequence[Mapping[str, Any]]
    ) -> Tensor:
        like = next(self.base_head_.parameters())
        factors = [self._factors(float(c.get("tau", self.tau_))) for c in candidates]
        scales, biases = (
            None if column[0] is None else torch.stack(column).to(like)
            for column in zip(*factors, strict=True)
        )
        with torch.inference_mode():
            return predict_affine(
                lambda block: self.base_head_(block.to(like.device, like.dtype)),
                features,
                scales=scales,
                biases=biases,
            )
