"""The logits of a head that is not trained any more, computed once."""

from collections.abc import Callable

import torch
from torch import Tensor

from headtail.heads import Head
from headtail.methods._training import rows_of
from headtail.tensors import ShardedRows, row_blocks

__all__ = ["frozen_logits"]

# Above this many logits (4 GB of float32) each batch computes its own; so it does with
# features in shards, of which nothing as long as the data is kept.
_MOST_FROZEN = 2**30


def frozen_logits(head: Head, features: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from indices of examples to their logits, computed once."""
    like = next(head.parameters())

    @torch.no_grad()
    def of_rows(rows: Tensor) -> Tensor:
        logits: Tensor = head(rows_of(features, rows, like))
        return logits

    n_samples = len(features)
    if isinstance(features, ShardedRows) or n_samples * head.n_classes > _MOST_FROZEN:
        return of_rows
    logits = torch.empty(
        n_samples, head.n_classes, device=like.device, dtype=like.dtype
    )
    every = torch.arange(n_samples)
    for rows in row_blocks(n_samples, max(head.n_features, head.n_classes)):
        logits[rows] = of_rows(every[rows])
    return lambda rows: logits[rows.to(logits.device)]
