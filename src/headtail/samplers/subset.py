"""Choose some examples of every class, without replacement."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["capped_counts", "choose_per_class", "hold_out"]


def capped_counts(
    counts: Int[Tensor, " n_classes"], most: int
) -> Int[Tensor, " n_classes"]:
    """Cap all classes at one number, so that no more than `most` are left in all.

    One of every class is left even where those are more.

    Examples
    --------
    >>> import torch
    >>> capped_counts(torch.tensor([90, 30, 5]), 50)
    tensor([22, 22,  5])
    """
    low, high = 1, max(int(counts.max()), 1)
    while low < high:
        middle = (low + high + 1) // 2
        if int(counts.clamp(max=middle).sum()) <= most:
            low = middle
        else:
            high = middle - 1
    return counts.clamp(max=low)


def choose_per_class(
    labels: Int[Tensor, " n_samples"],
    quota: Int[Tensor, " n_classes"],
    generator: torch.Generator,
) -> Bool[Tensor, " n_samples"]:
    """Mark quota[c] random examples of every class c, all of them if there are fewer.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([0, 0, 0, 1, 1])
    >>> marked = choose_per_class(labels, torch.tensor([2, 5]), torch.Generator())
    >>> labels[marked]
    tensor([0, 0, 1, 1])
    """
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    counts = torch.bincount(labels, minlength=len(quota))
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    marked = torch.zeros(len(labels), dtype=torch.bool)
    marked[order] = rank < quota[labels[order]]
    return marked


def hold_out(
    labels: Int[Tensor, " n_samples"], fraction: float, generator: torch.Generator
) -> Bool[Tensor, " n_samples"]:
    """Mark about `fraction` of every class at random; at least one example is left.

    A class of n gives round(n · fraction) examples: with a fifth, classes of one and
    two give none.
    """
    counts = torch.bincount(labels)
    quota = torch.minimum((counts * fraction).round().long(), counts - 1)
    return choose_per_class(labels, quota, generator)
