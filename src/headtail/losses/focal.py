"""Focal loss (Lin et al., ICCV 2017)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses.checks import (
    Number,
    PerClass,
    check_between,
    check_width,
    checked_class_weights,
)
from headtail.losses.loss import Loss, negative_log_likelihood, weighted_mean

__all__ = ["FocalLoss", "focal_values"]


def focal_values(
    logits: Float[Tensor, "n_samples n_classes"],
    labels: Int[Tensor, " n_samples"],
    *,
    gamma: Number,
) -> Float[Tensor, " n_samples"]:
    """Return (1 - p[y])^gamma · (-log p[y]) of every example, p the softmax.

    What is already right counts less, the more so the larger gamma; ``gamma=0`` is
    cross-entropy.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár. "Focal Loss for Dense Object Detection." ICCV
    2017. https://arxiv.org/abs/1708.02002. Unlike the paper, which has one sigmoid per
    class, p is the softmax.

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.tensor([[3.0, 0.0], [-3.0, 0.0]]), torch.tensor([0, 0])
    >>> focal_values(logits, labels, gamma=0.0)
    tensor([0.0486, 3.0486])
    >>> focal_values(logits, labels, gamma=2.0)
    tensor([1.0928e-04, 2.7663e+00])
    """
    values = negative_log_likelihood(logits, labels)
    wrong = -torch.expm1(-values)
    # Where p[y] is 1 the power's slope is infinite for gamma < 1, the loss's is not.
    some = wrong > 0
    power = torch.where(some, wrong, 1) ** gamma
    return torch.where(some, power, 0.0**gamma) * values


class FocalLoss(Loss):
    """The weighted mean of `focal_values`: examples that are right count less.

    Parameters
    ----------
    gamma
        The exponent, at least 0; 0 is cross-entropy.
    weight
        Weight per class, as in `CrossEntropyLoss`.

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.tensor([[3.0, 0.0], [-3.0, 0.0]]), torch.tensor([0, 0])
    >>> FocalLoss(gamma=2.0)(logits, labels)
    tensor(1.3832)
    """

    weight: Tensor | None

    def __init__(self, *, gamma: Number = 2.0, weight: PerClass | None = None) -> None:
        super().__init__()
        check_between("gamma", gamma, 0)
        self.gamma = gamma
        checked = None if weight is None else checked_class_weights(weight)
        self.register_buffer("weight", checked)

    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        if self.weight is not None:
            check_width(logits, self.weight)
        values = focal_values(logits, labels, gamma=self.gamma)
        return weighted_mean(values, labels, self.weight)
