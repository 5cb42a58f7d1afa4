"""What the classifiers that train share: parameters, checks, seeds, batch sizes."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, get_args

import torch
from torch import Tensor

from headtail.losses import Loss, build_loss
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._door import check_finite, computing_dtype
from headtail.methods._estimator import HeadClassifier
from headtail.methods._generator import new_generator
from headtail.methods._training import Optimizer, train, visiting_order
from headtail.samplers import Sampling, epoch_size

__all__ = ["TRAINING_CONSTRAINTS", "TrainedClassifier"]

TRAINING_CONSTRAINTS: dict[str, list[Any]] = {
    "sampling": [StrOptions(set(get_args(Sampling)))],
    "loss_options": [dict, None],
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
    """Base of the classifiers that train on features; see the subclasses.

    What a subclass does not offer as a parameter stands here.
    """

    sampling: Sampling = "instance"
    loss: str = "cross-entropy"
    loss_options: Mapping[str, Any] | None = None
    optimizer: Optimizer = "sgd"
    learning_rate: float
    weight_decay: float = 0.0
    epochs: int
    batch_size: int
    random_state: Any
    device: Any

    def fit(self, X: Any, y: Any) -> "TrainedClassifier":
        """Train on features X of shape (n_samples, n_features) with labels y."""
        with self._fitting():
            features, positions = self._open_fit(X, y)
            check_finite(features)
            self._fit_head(features, positions, self._generator())
        return self

    @abstractmethod
    def _fit_head(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> None:
        """Train and set `head_`."""

    def _generator(self) -> torch.Generator:
        return new_generator(self.random_state)

    def _build_loss(self) -> Loss:
        return build_loss(self.loss, self.class_counts_, self.loss_options)

    def _train(
        self,
        features: Tensor,
        logits: Callable[[Tensor], Tensor],
        parameters: list[Tensor],
        positions: Tensor,
        generator: torch.Generator,
        *,
        loss: Loss | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> None:
        shown = epoch_size(positions, self.sampling)
        smaller = math.ceil(shown / _LEAST_STEPS_PER_EPOCH)
        loss = self._build_loss() if loss is None else loss
        train(
            logits,
            parameters,
            positions,
            loss=loss.to(parameters[0].device),
            sampling=self.sampling,
            epochs=self.epochs,
            generator=generator,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            after_step=after_step,
            batch_size=min(self.batch_size, max(smaller, 1)),
            label=f"training {type(self).__name__}",
            order=visiting_order(features, generator),
        )
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise ValueError(
                f"The training of {type(self).__name__} must converge; it ended in NaN "
                f"or inf with learning_rate={self.learning_rate:g}. Lower it."
            )

    def _leaf(self, values: Tensor, features: Tensor) -> Tensor:
        """Return `values` as a parameter where, and in what, the work is done."""
        place = self._work_device(features)
        return values.to(place, computing_dtype(features)).requires_grad_()
