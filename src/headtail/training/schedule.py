"""How the learning rate changes over the epochs, and what one step of SGD does."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

__all__ = ["Optimization", "Schedule", "build_optimizer"]

Decay = Literal["cosine", "steps", "constant"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Epochs, warm-up and decay of the learning rate.

    Parameters
    ----------
    n_epochs
        Passes over the data, at least 1.
    decay
        ``"cosine"``: along a cosine, step by step, to 0 at the very end. ``"steps"``:
        times `factor` at each of `milestones`. ``"constant"``: not at all.
    warmup_epochs
        The rate climbs linearly over so many epochs; the decay counts them too, but
        a cosine begins after them.
    milestones
        Epochs after which the rate is multiplied, for ``"steps"``.
    factor
        What it is multiplied with, for ``"steps"``.

    Examples
    --------
    >>> schedule = Schedule(n_epochs=200, decay="steps", milestones=(160, 180))
    >>> [schedule.rate(epoch) for epoch in (0, 159.9, 160)]
    [1.0, 1.0, 0.1]
    """

    n_epochs: int
    decay: Decay = "cosine"
    warmup_epochs: float = 0
    milestones: tuple[int, ...] = ()
    factor: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        if self.n_epochs < 1:
            raise ValueError(f"n_epochs must be at least 1; got {self.n_epochs}.")
        if self.decay not in get_args(Decay):
            raise ValueError(
                f"decay must be one of {get_args(Decay)}; got {self.decay!r}."
            )
        if not 0 <= self.warmup_epochs < self.n_epochs:
            raise ValueError(
                "warmup_epochs must be at least 0 and less than n_epochs "
                f"({self.n_epochs}); got {self.warmup_epochs}."
            )
        if bool(self.milestones) != (self.decay == "steps"):
            raise ValueError(
                'milestones must be given exactly with decay="steps"; got '
                f"{self.milestones} with {self.decay!r}."
            )
        if any(not 0 < milestone < self.n_epochs for milestone in self.milestones):
            raise ValueError(
                f"milestones must lie within the {self.n_epochs} epochs; got "
                f"{self.milestones}. Change both, or the rate never falls."
            )
        if not self.factor > 0:
            raise ValueError(f"factor must be positive; got {self.factor}.")

    def rate(self, epoch: float) -> float:
        """Return what the learning rate is multiplied with, 0 … 1.

        `epoch` counts what has passed: 1.5 is the middle of the second epoch.
        """
        if epoch < self.warmup_epochs:
            return epoch / self.warmup_epochs
        if self.decay == "steps":
            passed = sum(epoch >= milestone for milestone in self.milestones)
            return float(self.factor**passed)
        if self.decay == "constant":
            return 1.0
        left = (self.n_epochs - epoch) / (self.n_epochs - self.warmup_epochs)
        return 0.5 * (1 - math.cos(math.pi * left))


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """The steps of training: learning rates, batches, decay of weights.

    Parameters
    ----------
    learning_rate
        Of the backbone, and of the classifier if that has none of its own.
    classifier_learning_rate
        Of the classifier; None for `learning_rate`.
    batch_size
        Examples per step, of all processes together.
    optimizer
        ``"sgd"`` with `momentum`, or ``"adamw"``.
    momentum, nesterov
        Of SGD.
    weight_decay
        Of all parameters but the scale of a cosine head.
    clip_norm
        Largest length of the gradient of all parameters; None for no bound.
    """

    learning_rate: float
    classifier_learning_rate: float | None = None
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        positive = {
            "learning_rate": self.learning_rate,
            "classifier_learning_rate": self.classifier_learning_rate,
            "batch_size": self.batch_size,
            "clip_norm": self.clip_norm,
        }
        for name, value in positive.items():
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive; got {value}.")
        if self.optimizer not in ("sgd", "adamw"):
            raise ValueError(
                f"optimizer must be 'sgd' or 'adamw'; got {self.optimizer!r}."
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1); got {self.momentum}.")
        if not self.weight_decay >= 0:
            raise ValueError(
                f"weight_decay must be at least 0; got {self.weight_decay}."
            )


def build_optimizer(
    groups: list[dict[str, Any]], optimization: Optimization
) -> torch.optim.Optimizer:
    """Return the optimizer of parameter groups with rates and decays of their own."""
    if optimization.optimizer == "adamw":
        return torch.optim.AdamW(groups)
    return torch.optim.SGD(
        groups, momentum=optimization.momentum, nesterov=optimization.nesterov
    )
