"""Train MetaModelNet's chain on pairs of few-shot and many-shot models."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from headtail.methods._chain import Chain
from headtail.progress import track

__all__ = ["Split", "Task", "pair_loss", "train_chain"]

_DATA_BATCH = 256  # examples that the cross-entropy is computed on, as in the paper
# At least, where there are as many: a batch norm wants more than a few weights.
_WEIGHTS_PER_STEP = 64


class Split(NamedTuple):
    """The head classes that have more than 2k examples, and their classifiers.

    Attributes
    ----------
    models
        Learned from k examples of each class: [n_models, n_head, n_features].
    target
        Learned from all examples: [n_head, n_features].
    gather
        From positions among the split's examples to their features.
    labels
        Of the split's examples, among the head classes: [n_samples].
    """

    models: Float[Tensor, "n_models n_head n_features"]
    target: Float[Tensor, "n_head n_features"]
    gather: Callable[[Tensor], Tensor]
    labels: Int[Tensor, " n_samples"]


class Task(NamedTuple):
    """Which models enter where.

    Attributes
    ----------
    split
        Position of the models' split in the bank.
    block
        Block of the chain at which they enter.
    """

    split: int
    block: int


def pair_loss(
    predicted: Float[Tensor, "n_models n_head n_features"],
    target: Float[Tensor, "n_head n_features"],
    features: Float[Tensor, "n_samples n_features"],
    labels: Int[Tensor, " n_samples"],
    *,
    scale: float,
    performance_weight: float,
) -> Float[Tensor, ""]:
    """Return ‖F(θ) - θ*‖² + λ · cross-entropy (MetaModelNet eq. 1).

    The distance is a mean over classes, in units of the targets' mean square length,
    the cross-entropy a mean over examples: λ means the same for all data. `scale`
    multiplies the logits.

    Examples
    --------
    >>> import torch
    >>> eye = torch.eye(2)
    >>> loss = pair_loss(
    ...     0 * eye[None], eye, eye, torch.arange(2), scale=1.0, performance_weight=1.0
    ... )
    >>> round(loss.item(), 4)  # 1 + log 2
    1.6931
    """
    size = target.square().sum()
    size = torch.where(size > 0, size, 1)  # features that are all alike
    distance = (predicted - target).square().sum() / (len(predicted) * size)
    if performance_weight == 0:
        return distance
    logits = scale * torch.einsum("nf,mcf->nmc", features, predicted)
    repeated = labels.repeat_interleave(len(predicted))
    return distance + performance_weight * F.cross_entropy(
        logits.flatten(0, 1), repeated
    )


def train_chain(
    chain: Chain,
    splits: list[Split],
    stages: list[list[Task]],
    *,
    scale: float,
    performance_weight: float,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    generator: torch.Generator,
    label: str,
) -> None:
    """Train the chain in place, stage by stage.

    A stage is a list of tasks: every step shows the first of them, and one of the
    others. The blocks from the first one's on are trained. Examples of the
    cross-entropy are drawn as they are, so large head classes come more often.
    """
    chain.train()
    for tasks, step in track(
        ((tasks, step) for tasks in stages for step in range(steps)),
        len(stages) * steps,
        label,
    ):
        if step == 0:
            _, first = tasks[0]
            blocks = chain.blocks[first:]
            optimizer = torch.optim.AdamW(
                blocks.parameters(), lr=learning_rate, weight_decay=weight_decay
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        shown = tasks[:1]
        if len(tasks) > 1:
            other = torch.randint(1, len(tasks), (1,), generator=generator)
            shown = [tasks[0], tasks[int(other)]]
        optimizer.zero_grad()
        for split, block in shown:
            models, features, labels = _draw(splits[split], generator)
            loss = pair_loss(
                chain(models.flatten(0, 1), block).view_as(models),
                splits[split].target,
                features,
                labels,
                scale=scale,
                performance_weight=performance_weight,
            )
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    chain.eval()


def _draw(split: Split, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw models, examples and their labels for a step."""
    n_models, n_head = split.models.shape[:2]
    n_shown = min(n_models, -(-_WEIGHTS_PER_STEP // n_head))
    chosen = torch.randint(n_models, (n_shown,), generator=generator)
    models = split.models[chosen.to(split.models.device)]
    rows = torch.randint(len(split.labels), (_DATA_BATCH,), generator=generator)
    return models, split.gather(rows), split.labels[rows].to(models.device)
