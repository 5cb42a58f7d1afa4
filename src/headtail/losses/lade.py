"""Label-distribution disentangling loss, LADE (Hong et al., CVPR 2021)."""

import math

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
from headtail.losses.loss import Loss, floored_logsumexp, negative_log_likelihood

__all__ = ["LADELoss"]


class LADELoss(Loss):
    """Cross-entropy of z + log π, plus alpha times a regulariser of the bare logits z.

    Per class c over a batch of B examples and C classes: m[c] is the mean of z[c] over
    the examples of c (0 if there are none),
    r[c] = log Σ exp(z[c] - log π[c] - log C) - log B over all examples, and
    e[c] = m[c] - r[c] - lambda_·r[c]². The regulariser is -Σ π[c]·e[c] over all
    classes. ``alpha=0`` is `LogitAdjustedLoss` with τ = 1.

    Unlike the other losses it changes when a constant is added to all logits: that the
    logits keep their level is what it asks for.

    Parameters
    ----------
    class_counts
        Training samples per class, at least 1 each.
    alpha
        Strength of the regulariser, at least 0.
    lambda_
        Strength with which r is drawn to 0, at least 0.

    References
    ----------
    Hong, Han, Choi, Seo, Kim and Chang. "Disentangling Label Distribution for
    Long-tailed Visual Recognition." CVPR 2021. https://arxiv.org/abs/2012.00321. The
    weights π and the classes absent from the batch are as in the released code.

    Examples
    --------
    >>> import torch
    >>> loss = LADELoss([3, 1], alpha=1.0, lambda_=0.1)
    >>> logits, labels = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> loss(logits, labels)
    tensor(0.7305)
    >>> loss(logits + 9.0, labels)  # the level of the logits is held
    tensor(8.5951)
    """

    log_prior: Tensor

    def __init__(
        self, class_counts: PerClass, *, alpha: Number = 0.1, lambda_: Number = 0.01
    ) -> None:
        super().__init__()
        check_between("alpha", alpha, 0)
        check_between("lambda_", lambda_, 0)
        self.alpha, self.lambda_ = alpha, lambda_
        counts = checked_class_counts(class_counts)
        self.register_buffer("log_prior", (counts / counts.sum()).log())

    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        check_width(logits, self.log_prior)
        adjusted = logits + self.log_prior.to(logits)
        likelihood = negative_log_likelihood(adjusted, labels).mean()
        return likelihood + self.alpha * self._regulariser(logits, labels.long())

    def _regulariser(self, logits: Tensor, labels: Tensor) -> Tensor:
        n_samples, n_classes = logits.shape
        member = torch.zeros_like(logits).scatter(1, labels[:, None], 1)
        means = (member * logits).sum(dim=0) / member.sum(dim=0).clamp(min=1)
        level = floored_logsumexp(logits, dim=0) - self.log_prior.to(logits)
        level = level - math.log(n_classes) - math.log(n_samples)
        estimate = means - level - self.lambda_ * level.square()
        return -(self.log_prior.exp().to(logits) * estimate).sum()
