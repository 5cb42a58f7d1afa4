"""What all losses share: how they are called, and the log-likelihoods below them."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtail.losses.checks import Number

__all__ = ["Loss", "floored_logsumexp", "negative_log_likelihood", "weighted_mean"]

_FLOOR = 60.0


class Loss(nn.Module):
    """A module from logits and labels to the number that training minimises.

    Labels are class positions, 0 … n_classes - 1. What a loss knows of each class lies
    in float64 buffers and is cast to the dtype of the logits.
    """

    # The scale of the cosine head whose logits the loss wants, if that matters.
    fixed_scale: float | None = None

    @abstractmethod
    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch."""

    def advance(self, progress: Number) -> None:
        """Tell which part of the training has passed, 0 … 1.

        Without effect on a loss that has no schedule.
        """


def negative_log_likelihood(
    logits: Float[Tensor, "n_samples n_classes"], labels: Int[Tensor, " n_samples"]
) -> Float[Tensor, " n_samples"]:
    """Return -log p[y] of every example, p the softmax of its logits.

    Gradients are never denormal numbers, see `floored_logsumexp`.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.0], [1e4, -1e4]])
    >>> negative_log_likelihood(logits, torch.tensor([0, 1]))
    tensor([6.9315e-01, 2.0000e+04])
    """
    # Without its largest logit a row keeps its digits, however large they were.
    logits = logits - logits.detach().amax(dim=1, keepdim=True)
    likelihood = logits.gather(1, labels.long()[:, None]).squeeze(1)
    return floored_logsumexp(logits, dim=1) - likelihood


def floored_logsumexp(values: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Return log Σ exp(values) along `dim`, with no denormal numbers in the gradient.

    A processor takes many times as long for those: so a summand counts as e^-60 times
    the largest one at least, which changes nothing that the dtype can tell.
    """
    floor = values.detach().amax(dim=dim, keepdim=True) - _FLOOR
    return torch.maximum(values, floor).logsumexp(dim=dim)


def weighted_mean(
    values: Float[Tensor, " n_samples"],
    labels: Int[Tensor, " n_samples"],
    weight: Float[Tensor, " n_classes"] | None,
) -> Float[Tensor, ""]:
    """Return Σ w[y]·value / Σ w[y], the plain mean without weights.

    That is how `torch.nn.functional.cross_entropy` weights. Only the ratios of the
    weights matter. NaN if every example at hand has weight 0.

    Examples
    --------
    >>> import torch
    >>> values, labels = torch.tensor([1.0, 5.0]), torch.tensor([0, 1])
    >>> weighted_mean(values, labels, torch.tensor([3.0, 1.0]))
    tensor(2.)
    """
    if weight is None:
        return values.mean()
    shares = weight.to(values)[labels.long()]
    return (shares * values).sum() / shares.sum()
