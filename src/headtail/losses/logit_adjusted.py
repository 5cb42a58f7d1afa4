"""Losses that add the log-prior to the logits (Ren et al. 2020, Menon et al. 2021)."""

from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses.checks import (
    Number,
    PerClass,
    check_between,
    check_width,
    checked_class_counts,
)
from headtail.losses.loss import Loss, negative_log_likelihood

__all__ = ["BalancedSoftmaxLoss", "LogitAdjustedLoss"]


class LogitAdjustedLoss(Loss):
    """Cross-entropy of z + τ·log π, π the class prior.

    A rare class must win by a margin in training, so that the bare logits z suit a
    balanced test. ``tau=0`` is cross-entropy, ``tau=1`` is `BalancedSoftmaxLoss`.

    Parameters
    ----------
    class_counts
        Training samples per class, at least 1 each.
    tau
        The factor τ of the log-prior, at least 0.

    References
    ----------
    Menon et al. "Long-tail learning via logit adjustment." ICLR 2021.
    https://arxiv.org/abs/2007.07314

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([1])
    >>> LogitAdjustedLoss([90, 10])(logits, labels).exp()  # 1 / prior of the class
    tensor(10.)
    """

    log_prior: Tensor

    def __init__(self, class_counts: PerClass, *, tau: Number = 1.0) -> None:
        super().__init__()
        check_between("tau", tau, 0)
        self.tau = tau
        counts = checked_class_counts(class_counts)
        self.register_buffer("log_prior", (counts / counts.sum()).log())

    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        check_width(logits, self.log_prior)
        adjusted = logits + self.tau * self.log_prior.to(logits)
        return negative_log_likelihood(adjusted, labels).mean()


class BalancedSoftmaxLoss(Loss):
    """Cross-entropy of z + log n: the softmax with every class counted n times.

    Equal counts make it cross-entropy.

    Parameters
    ----------
    class_counts
        Training samples per class, at least 1 each.

    References
    ----------
    Ren et al. "Balanced Meta-Softmax for Long-Tailed Visual Recognition." NeurIPS 2020.
    https://arxiv.org/abs/2007.10740

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([1])
    >>> BalancedSoftmaxLoss([90, 10])(logits, labels).exp()
    tensor(10.)
    """

    log_counts: Tensor

    def __init__(self, class_counts: PerClass) -> None:
        super().__init__()
        self.register_buffer("log_counts", checked_class_counts(class_counts).log())

    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        check_width(logits, self.log_counts)
        adjusted = logits + self.log_counts.to(logits)
        return negative_log_likelihood(adjusted, labels).mean()
