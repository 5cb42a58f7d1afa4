"""Class-balanced loss: weights by the effective number (Cui et al., CVPR 2019)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses.checks import (
    Number,
    PerClass,
    check_between,
    check_width,
    checked_class_counts,
)
from headtail.losses.focal import focal_values
from headtail.losses.loss import Loss, weighted_mean

__all__ = ["ClassBalancedLoss", "effective_number_weights"]


def effective_number_weights(
    class_counts: PerClass, *, beta: Number = 0.9999
) -> Float[Tensor, " n_classes"]:
    """Return weights ∝ (1 - β) / (1 - β^n[c]) that sum to n_classes, in float64.

    ``beta=0`` gives ones; β → 1 gives `inverse_frequency_weights`.

    References
    ----------
    Cui, Jia, Lin, Song and Belongie. "Class-Balanced Loss Based on Effective Number of
    Samples." CVPR 2019. https://arxiv.org/abs/1901.05555

    Examples
    --------
    >>> effective_number_weights([1000, 10], beta=0.99)
    tensor([0.1746, 1.8254], dtype=torch.float64)
    """
    check_between("beta", beta, 0, 1)
    counts = checked_class_counts(class_counts)
    # 1 - β^n keeps its digits only this way; log β is -inf at β = 0, as it must be.
    weights = -1 / torch.expm1(counts * counts.new_tensor(beta).log())
    return weights * (len(weights) / weights.sum())


class ClassBalancedLoss(Loss):
    """Cross-entropy or focal loss, weighted with `effective_number_weights`.

    Parameters
    ----------
    class_counts
        Training samples per class, at least 1 each.
    beta
        β of the effective number, at least 0 and below 1; 0 weights all alike.
    gamma
        The exponent of `focal_values`; 0 is cross-entropy.

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    >>> ClassBalancedLoss([1000, 10], beta=0.0)(logits, labels)
    tensor(1.1269)
    >>> ClassBalancedLoss([1000, 10])(logits, labels)  # class 1 is rare and wrong
    tensor(2.1061)
    """

    weight: Tensor

    def __init__(
        self, class_counts: PerClass, *, beta: Number = 0.9999, gamma: Number = 0.0
    ) -> None:
        super().__init__()
        check_between("gamma", gamma, 0)
        self.beta, self.gamma = beta, gamma
        weights = effective_number_weights(class_counts, beta=beta)
        self.register_buffer("weight", weights)

    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        check_width(logits, self.weight)
        values = focal_values(logits, labels, gamma=self.gamma)
        return weighted_mean(values, labels, self.weight)
