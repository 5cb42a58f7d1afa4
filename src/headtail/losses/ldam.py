"""Label-distribution-aware margin loss (Cao et al., NeurIPS 2019)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses.checks import (
    Number,
    PerClass,
    check_between,
    check_width,
    checked_class_counts,
    checked_class_weights,
)
from headtail.losses.loss import Loss, negative_log_likelihood, weighted_mean

__all__ = ["LDAMLoss"]


class LDAMLoss(Loss):
    """Cross-entropy in which the true class's cosine is less by a margin m[y].

    m[c] = max_margin · n[c]^(-1/4) / max over j of n[j]^(-1/4): the rarest class has
    the largest margin. ``max_margin=0`` is cross-entropy.

    Parameters
    ----------
    class_counts
        Training samples per class, at least 1 each.
    max_margin
        Margin of the rarest class, as a cosine; at least 0.
    scale
        What the cosines were multiplied with: the logits must come from a cosine head
        with this scale, which is not trained.
    weight
        Weight per class, as in `CrossEntropyLoss`.

    References
    ----------
    Cao, Wei, Gaidon, Arechiga and Ma. "Learning Imbalanced Datasets with
    Label-Distribution-Aware Margin Loss." NeurIPS 2019.
    https://arxiv.org/abs/1906.07413

    Examples
    --------
    >>> import torch
    >>> loss = LDAMLoss([160, 10])
    >>> loss.margins
    tensor([0.2500, 0.5000], dtype=torch.float64)
    >>> loss(30 * torch.tensor([[0.0, 0.5]]), torch.tensor([1]))  # its lead is eaten up
    tensor(0.6931)
    """

    margins: Tensor
    weight: Tensor | None

    def __init__(
        self,
        class_counts: PerClass,
        *,
        max_margin: Number = 0.5,
        scale: Number = 30.0,
        weight: PerClass | None = None,
    ) -> None:
        super().__init__()
        check_between("max_margin", max_margin, 0)
        check_between("scale", scale, 0, closed="neither")
        self.max_margin, self.scale = max_margin, scale
        self.fixed_scale = float(scale)
        counts = checked_class_counts(class_counts)
        margins = max_margin * (counts.min() / counts) ** 0.25
        self.register_buffer("margins", margins)
        if weight is not None:
            weight = checked_class_weights(weight, len(counts))
        self.register_buffer("weight", weight)

    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch of logits, scale · cosine."""
        check_width(logits, self.margins)
        labels = labels.long()
        margins = self.scale * self.margins.to(logits)[labels, None]
        shift = torch.zeros_like(logits).scatter(1, labels[:, None], margins)
        values = negative_log_likelihood(logits - shift, labels)
        return weighted_mean(values, labels, self.weight)
