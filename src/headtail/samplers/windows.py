"""The order in which an epoch visits examples that lie in shards."""

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["in_windows"]


def in_windows(
    draws: Int[Tensor, " n_draws"],
    first_rows: Int[Tensor, " n_shards"],
    shards_per_window: int,
    generator: torch.Generator,
) -> Int[Tensor, " n_draws"]:
    """Return the same draws, shuffled by shard and within a window of shards.

    The shards are shuffled, so many of them next to each other are a window, and within
    it the draws are shuffled. A reader that keeps one window opens every shard once an
    epoch. Batches are as random as the window is large: where shards hold few classes
    each, write them anew in random order.

    Parameters
    ----------
    draws
        Indices of examples, in any order, some more than once.
    first_rows
        The first example of every shard, ascending; the first is 0.
    shards_per_window
        At least 1.

    Examples
    --------
    >>> import torch
    >>> draws = torch.tensor([0, 5, 1, 4, 2, 3])
    >>> generator = torch.Generator().manual_seed(0)
    >>> order = in_windows(draws, torch.tensor([0, 2, 4]), 1, generator)
    >>> order // 2  # the shard of every draw
    tensor([1, 1, 2, 2, 0, 0])
    """
    shards = torch.searchsorted(first_rows, draws, right=True) - 1
    place = torch.randperm(len(first_rows), generator=generator)
    windows = place[shards] // shards_per_window
    keys = torch.rand(len(draws), generator=generator, dtype=torch.float64)
    return draws[(windows + keys).argsort()]
