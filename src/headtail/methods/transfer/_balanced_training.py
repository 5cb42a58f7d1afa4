"""Train a balanced linear classifier on whitened directions, from the prototypes on."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses import BalancedSoftmaxLoss
from headtail.methods._training import rows_of, train
from headtail.methods.transfer._mixture import whitened_directions
from headtail.samplers import capped_counts, choose_per_class
from headtail.tensors import ShardedRows, row_blocks, unit

__all__ = ["BalancedWeights", "directions_of_rows", "train_balanced"]

# Examples shown in all, and epochs at most: from the prototypes on, and on whitened
# features, more of either changed little (docs/methods/count-aware-transfer.md).
_MOST_SHOWN = 2**16
_MOST_EPOCHS = 5
_LEAST_STEPS_PER_EPOCH = 32
# Where one epoch is many steps, larger batches make fuller matrix products. Of few
# examples they are smaller. The rate goes with the root of the batch.
_BATCH, _LARGE_BATCH, _LARGE_FROM = 128, 512, 2**15
_RATE = 20.0
_DECAY = 1e-5
# Length of the weights before training, as cosine heads start with.
_SCALE = 16.0

# Above this many numbers (512 MB of float32, 1 GB of float64) each batch is whitened
# when it comes.
_MOST_KEPT = 2**27

Directions = Callable[[Tensor], Tensor]


class BalancedWeights(NamedTuple):
    """A linear classifier that expects all classes equally often."""

    weight: Float[Tensor, "n_classes n_features"]
    bias: Float[Tensor, " n_classes"]

    @property
    def scale(self) -> Tensor:
        """Mean length of the rows."""
        return torch.linalg.vector_norm(self.weight, dim=1).mean()


def directions_of_rows(features: Tensor, map: Tensor, center: Tensor) -> Directions:
    """Return a function from indices to whitened directions, which it may keep."""

    def of_rows(rows: Tensor) -> Tensor:
        return whitened_directions(rows_of(features, rows, map), map, center)

    n_samples, size = features.shape
    if isinstance(features, ShardedRows) or n_samples * size > _MOST_KEPT:
        return of_rows
    kept = torch.empty(n_samples, size, dtype=map.dtype, device=map.device)
    for rows in row_blocks(n_samples, size):
        kept[rows] = of_rows(torch.arange(n_samples)[rows])
    return lambda rows: kept[rows.to(kept.device)]


def train_balanced(
    directions: Directions,
    labels: Int[Tensor, " n_samples"],
    rows: Int[Tensor, " n_rows"],
    prototypes: Float[Tensor, "n_classes n_features"],
    generator: torch.Generator,
    *,
    noise: float = 0.0,
) -> BalancedWeights:
    """Train with the balanced softmax; the weights start as the prototypes.

    Of more than 65,536 examples the largest classes show a part.

    Parameters
    ----------
    directions
        From indices of examples to their directions.
    labels
        Class positions of the rows that are learned from; every class occurs.
    rows
        Their indices.
    prototypes
        Directions of the class means.
    noise
        Expected length of the noise that is added to every direction.
    """
    # More examples than can be shown are shown in part, and once.
    epochs = min(math.ceil(_MOST_SHOWN / len(rows)), _MOST_EPOCHS)
    rows, labels = _shown_rows(rows, labels, len(prototypes), generator)
    batch_size = min(
        _LARGE_BATCH if len(rows) >= _LARGE_FROM else _BATCH,
        math.ceil(len(rows) / _LEAST_STEPS_PER_EPOCH),
    )
    counts = torch.bincount(labels, minlength=len(prototypes))
    weight = _SCALE * unit(prototypes - prototypes.mean(dim=0))
    weight.requires_grad_()
    bias = weight.new_zeros(len(weight), requires_grad=True)

    def logits(batch: Tensor) -> Tensor:
        shown = directions(rows[batch])
        if noise:
            # In float32 whatever the default is: the same seed, the same noise.
            drawn = torch.randn(
                shown.shape, generator=generator, dtype=torch.float32
            ).to(shown)
            shown = unit(shown + noise / math.sqrt(shown.shape[1]) * drawn)
        return shown @ weight.T + bias

    train(
        logits,
        [weight, bias],
        labels,
        loss=BalancedSoftmaxLoss(counts).to(weight.device),
        sampling="instance",
        epochs=epochs,
        generator=generator,
        optimizer="sgd",
        learning_rate=_RATE * math.sqrt(batch_size / _BATCH),
        weight_decay=_DECAY,
        batch_size=batch_size,
        label="training the balanced classifier",
    )
    weight, bias = weight.detach(), bias.detach()
    # What all classes share decides nothing; without it the rows are directions.
    return BalancedWeights(weight - weight.mean(dim=0), bias - bias.mean())


def _shown_rows(
    rows: Tensor, labels: Tensor, n_classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    if len(rows) <= _MOST_SHOWN:
        return rows, labels
    quota = capped_counts(torch.bincount(labels, minlength=n_classes), _MOST_SHOWN)
    shown = choose_per_class(labels, quota, generator)
    return rows[shown], labels[shown]
