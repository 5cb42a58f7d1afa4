"""Lifted structure loss on features (Oh Song et al., CVPR 2016)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtail.losses.checks import Number, check_between
from headtail.losses.distances import distances_within

__all__ = ["LiftedStructureLoss"]


class LiftedStructureLoss(nn.Module):
    """Draw every two examples of a class together, away from all other classes.

    The input is features, not logits: this is for training a backbone. The loss is the
    mean over all pairs i, j of one class in the batch of ½·relu(J[i, j])², with

        J[i, j] = d[i, j] + log(Σ exp(margin - d[i, k]) + Σ exp(margin - d[j, l])),

    d the Euclidean distance, k and l over all examples of other classes. It is 0
    without any pair, and a pair adds 0 where there is no other class.

    Parameters
    ----------
    margin
        Distance that other classes should keep, at least 0.

    References
    ----------
    Oh Song, Xiang, Jegelka and Savarese. "Deep Metric Learning via Lifted Structured
    Feature Embedding." CVPR 2016. https://arxiv.org/abs/1511.06452

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([0, 0, 1])
    >>> LiftedStructureLoss()(torch.tensor([[0.0], [1.0], [0.5]]), labels)
    tensor(2.4049)
    >>> LiftedStructureLoss()(torch.tensor([[0.0], [1.0], [9.0]]), labels)
    tensor(0.)
    """

    def __init__(self, *, margin: Number = 1.0) -> None:
        super().__init__()
        check_between("margin", margin, 0)
        self.margin = margin

    def forward(
        self,
        features: Float[Tensor, "n_samples n_features"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch of features."""
        distances = distances_within(features)
        same = labels[:, None] == labels
        # The fill is finite: in a batch of one class a row of -inf gives NaN gradients.
        least = torch.finfo(distances.dtype).min
        push = (self.margin - distances).masked_fill(same, least).logsumexp(dim=1)
        first, second = same.triu(1).nonzero(as_tuple=True)
        pull = distances[first, second]
        values = torch.relu(torch.logaddexp(push[first], push[second]) + pull)
        return 0.5 * values.square().sum() / max(len(values), 1)
