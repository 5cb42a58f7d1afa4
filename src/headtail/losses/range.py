"""Range loss on features (Zhang et al., ICCV 2017)."""

import math
from operator import index
from typing import SupportsIndex

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtail.losses.checks import Number, check_between
from headtail.losses.distances import distances_within

__all__ = ["RangeLoss"]


class RangeLoss(nn.Module):
    """Draw the features of a class together, and the nearest class centres apart.

    The input is features, not logits: this is for training a backbone, beside a loss
    on the logits. The loss is

        ½·Σ over classes of the harmonic mean of the k largest distances inside it
        + ½·relu(margin - smallest distance between two class centres),

    all over the batch, with Euclidean distances (not squared). A class with one example
    adds nothing to the sum, one with fewer than k pairs has the mean of those; with one
    class in the batch the second term is left out. Coinciding examples have distance 0
    and gradient 0.

    Parameters
    ----------
    k
        How many distances of a class count, at least 1.
    margin
        Distance that class centres should keep, at least 0.
    intra_weight, inter_weight
        Factors of the two terms, at least 0.

    References
    ----------
    Zhang, Fang, Wen, Li and Qiao. "Range Loss for Deep Face Recognition with
    Long-Tailed Training Data." ICCV 2017. https://arxiv.org/abs/1611.08976

    Examples
    --------
    >>> import torch
    >>> features = torch.tensor([[0.0], [4.0], [2.5]])
    >>> RangeLoss()(features, torch.tensor([0, 0, 1]))  # ½·4 + ½·(1 - 0.5)
    tensor(2.2500)
    """

    def __init__(
        self,
        *,
        k: SupportsIndex = 2,
        margin: Number = 1.0,
        intra_weight: Number = 0.5,
        inter_weight: Number = 0.5,
    ) -> None:
        super().__init__()
        check_between("k", index(k), 1)
        check_between("margin", margin, 0)
        check_between("intra_weight", intra_weight, 0)
        check_between("inter_weight", inter_weight, 0)
        self.k = index(k)
        self.margin = margin
        self.intra_weight, self.inter_weight = intra_weight, inter_weight

    def forward(
        self,
        features: Float[Tensor, "n_samples n_features"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch of features."""
        present, owner = torch.unique(labels, return_inverse=True)
        loss = self.intra_weight * _ranges(features, owner, self.k).sum()
        if len(present) < 2:
            return loss
        gap = torch.relu(self.margin - _nearest_centers(features, owner, len(present)))
        return loss + self.inter_weight * gap


def _nearest_centers(features: Tensor, owner: Tensor, n_present: int) -> Tensor:
    """Return the smallest distance between the means of two classes."""
    member = F.one_hot(owner, n_present).to(features)
    centers = member.T @ features / member.sum(dim=0)[:, None]
    first, second = torch.triu_indices(n_present, n_present, 1, device=owner.device)
    return distances_within(centers)[first, second].min()


def _ranges(features: Tensor, owner: Tensor, k: int) -> Tensor:
    """Return the harmonic mean of the k largest distances in each class with pairs."""
    n_samples = len(features)
    first, second = torch.triu_indices(n_samples, n_samples, 1, device=owner.device)
    same = owner[first] == owner[second]
    first, second = first[same], second[same]
    distances = distances_within(features)[first, second]
    _, of_pair, n_pairs = torch.unique(
        owner[first], return_inverse=True, return_counts=True
    )
    order = distances.detach().argsort(descending=True)
    order = order[of_pair[order].argsort(stable=True)]
    start = n_pairs.cumsum(0) - n_pairs
    rank = torch.arange(len(order), device=owner.device) - start[of_pair[order]]
    chosen, rank = order[rank < k], rank[rank < k]
    table = distances.new_full((len(n_pairs), k), math.inf)  # inf: no such pair
    table = table.index_put((of_pair[chosen], rank), distances[chosen])
    return _harmonic_mean(table, n_pairs.clamp(max=k))


def _harmonic_mean(table: Tensor, counts: Tensor) -> Tensor:
    """Return n / Σ 1/d per row; inf counts for nothing, a 0 makes it 0."""
    # The smallest distance is divided out as a constant: 1/d² alone may overflow.
    smallest = table.detach().amin(dim=1, keepdim=True)
    some = table > 0
    shares = torch.where(some, smallest / torch.where(some, table, 1), 1)
    return counts * smallest.squeeze(1) / shares.sum(dim=1)
