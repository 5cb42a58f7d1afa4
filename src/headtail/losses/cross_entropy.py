"""Cross-entropy, plain or with a weight per class."""

from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses.checks import (
    PerClass,
    check_width,
    checked_class_counts,
    checked_class_weights,
)
from headtail.losses.loss import Loss, negative_log_likelihood, weighted_mean

__all__ = ["CrossEntropyLoss", "inverse_frequency_weights"]


def inverse_frequency_weights(class_counts: PerClass) -> Float[Tensor, " n_classes"]:
    """Return weights ∝ 1/n[c] that sum to n_classes, in float64.

    Over the whole training set every class then weighs alike; a mini-batch is divided
    by its own sum of weights. Equal counts give ones.

    Examples
    --------
    >>> inverse_frequency_weights([30, 10])
    tensor([0.5000, 1.5000], dtype=torch.float64)
    """
    weights = 1 / checked_class_counts(class_counts)
    return weights * (len(weights) / weights.sum())


class CrossEntropyLoss(Loss):
    """Σ w[y]·(-log p[y]) / Σ w[y] over the batch, p the softmax of the logits.

    Parameters
    ----------
    weight
        Weight per class, not negative; only ratios matter. None: the plain mean.

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    >>> CrossEntropyLoss()(logits, labels)
    tensor(1.1269)
    >>> CrossEntropyLoss(weight=[1.0, 9.0])(logits, labels)  # the wrong one counts
    tensor(1.9269)
    """

    weight: Tensor | None

    def __init__(self, *, weight: PerClass | None = None) -> None:
        super().__init__()
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
        values = negative_log_likelihood(logits, labels)
        return weighted_mean(values, labels, self.weight)
