"""What the two trained base classifiers share: parameters, checks, the draws."""

import math
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, get_args

import torch
from sklearn.utils import check_random_state
from torch import Tensor

from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._estimator import HeadClassifier, check_finite, computing_dtype
from headtail.methods._training import Optimizer, train
from headtail.samplers import Sampling, draw_epochs

__all__ = ["TRAINING_CONSTRAINTS", "TrainedClassifier"]

TRAINING_CONSTRAINTS: dict[str, list[Any]] = {
    "sampling": [StrOptions(set(get_args(Sampling)))],
    "optimizer": [StrOptions(set(get_args(Optimizer)))],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
    "device": [str, torch.device, None],
}

# Fewer examples than this many batches make smaller batches, so that a small data set
# is not left with a handful of steps.
_LEAST_STEPS_PER_EPOCH = 32


class TrainedClassifier(HeadClassifier):
    """Base of the classifiers that train a head on features; see the subclasses."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TRAINING_CONSTRAINTS

    sampling: Sampling
    optimizer: Optimizer
    learning_rate: float
    epochs: int
    batch_size: int
    random_state: Any
    device: Any

    def fit(self, X: Any, y: Any) -> "TrainedClassifier":
        """Train on features X of shape (n_samples, n_features) with labels y."""
        with self._fitting():
            features, positions = self._open_fit(X, y)
            check_finite(features)
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            generator = torch.Generator().manual_seed(seed)
            self._fit_head(features, positions, generator)
        return self

    @abstractmethod
    def _fit_head(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> None:
        """Train and set `head_`."""

    def _train(
        self,
        logits: Any,
        parameters: list[Tensor],
        features: Tensor,
        positions: Tensor,
        generator: torch.Generator,
        *,
        weight_decay: float = 0.0,
        after_step: Callable[[], None] | None = None,
    ) -> None:
        smaller = math.ceil(len(features) / _LEAST_STEPS_PER_EPOCH)
        train(
            logits,
            parameters,
            features,
            positions,
            draw_epochs(positions, self.sampling, self.epochs, generator),
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=weight_decay,
            after_step=after_step,
            batch_size=min(self.batch_size, max(smaller, 1)),
            label=f"training {type(self).__name__}",
        )

    def _leaf(self, values: Tensor, features: Tensor) -> Tensor:
        """Return `values` as a parameter where, and in what, the work is done."""
        place = self._work_device(features)
        return values.to(place, computing_dtype(features)).requires_grad_()
