"""Train the parameters of a head on stored features, in mini-batches."""

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses import Loss
from headtail.progress import track
from headtail.samplers import Sampling, draw_epochs, epoch_size, in_windows
from headtail.tensors import ShardedRows, row_blocks

__all__ = ["Optimizer", "feature_moments", "rows_of", "train", "visiting_order"]

# A block of features in float64 that stays in the processor's cache: 2 MB.
_MOMENTS_AT_ONCE = 2**18

# Weights from this size on, 4 MB of float32, are stepped in one pass over memory.
_FUSED_FROM = 2**20

Optimizer = Literal["sgd", "adamw"]


def train(
    logits: Callable[[Tensor], Tensor],
    parameters: list[Tensor],
    labels: Int[Tensor, " n_samples"],
    *,
    loss: Loss,
    sampling: Sampling,
    epochs: int,
    generator: torch.Generator,
    optimizer: Optimizer,
    learning_rate: float,
    weight_decay: float,
    batch_size: int,
    label: str,
    order: Callable[[Tensor], Tensor] | None = None,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Minimise a loss over mini-batches; change `parameters` in place.

    The learning rate falls to 0 along a cosine, step by step. Weight decay acts on the
    first parameter, the weight, alone. SGD has Nesterov momentum 0.9.

    Parameters
    ----------
    logits
        From the indices of a batch of examples to their logits.
    parameters
        Leaf tensors that require gradients, the weight first.
    labels
        Class positions of all examples.
    sampling
        Which examples an epoch shows, see `draw_epochs`.
    label
        What the progress bar calls this.
    order
        Puts the draws of an epoch in the order in which they are shown; None leaves it.
    after_step
        Called without gradients after every step, if given.
    """
    groups = [
        {"params": parameters[:1], "weight_decay": weight_decay},
        {"params": parameters[1:], "weight_decay": 0.0},
    ]
    stepper: torch.optim.Optimizer
    if optimizer == "sgd":
        stepper = torch.optim.SGD(
            groups,
            lr=learning_rate,
            momentum=0.9,
            nesterov=True,
            fused=parameters[0].numel() >= _FUSED_FROM or None,
        )
    else:
        stepper = torch.optim.AdamW(groups, lr=learning_rate)
    n_steps = epochs * math.ceil(epoch_size(labels, sampling) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, n_steps)
    device = parameters[0].device
    drawn = draw_epochs(labels, sampling, epochs, generator)
    batches = _batches(drawn if order is None else map(order, drawn), batch_size)
    for step, rows in enumerate(track(batches, n_steps, label)):
        loss.advance(step / n_steps)
        value = loss(logits(rows), labels[rows].to(device))
        stepper.zero_grad()
        value.backward()
        stepper.step()
        schedule.step()
        if after_step is not None:
            with torch.no_grad():
                after_step()


def _batches(epochs: Iterator[Tensor], batch_size: int) -> Iterator[Tensor]:
    for epoch in epochs:
        yield from epoch.split(batch_size)  # type: ignore[no-untyped-call]


def visiting_order(
    features: Tensor, generator: torch.Generator
) -> Callable[[Tensor], Tensor] | None:
    """Return what `train` takes as `order`: shard by shard where features lie so."""
    if not isinstance(features, ShardedRows):
        return None
    first_rows = torch.from_numpy(features.array.first_rows)
    n_shards = features.array.shards_per_window
    return lambda draws: in_windows(draws, first_rows, n_shards, generator)


def rows_of(features: Tensor, rows: Tensor, like: Tensor) -> Tensor:
    """Return some rows of the features, where and in what the work is done."""
    return features[rows.to(features.device)].to(like.device, like.dtype)


def feature_moments(features: Tensor) -> tuple[Float[Tensor, " n_features"], float]:
    """Return the mean, and the root of the total variance, in float64.

    Two passes in blocks: no copy of the features, no loss of digits.
    """
    blocks = list(row_blocks(len(features), features.shape[1], _MOMENTS_AT_ONCE))
    n_samples = len(features)
    mean = sum(features[b].double().sum(dim=0) for b in blocks) / n_samples
    total = 0.0
    for rows in blocks:
        apart = (features[rows].double() - mean).flatten()
        total += apart.dot(apart).item()
    return torch.as_tensor(mean), math.sqrt(total / n_samples)
