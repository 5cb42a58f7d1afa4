"""Train the parameters of a head on stored features, in mini-batches."""

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.progress import track
from headtail.tensors import row_blocks

__all__ = ["Optimizer", "feature_moments", "train"]

Optimizer = Literal["sgd", "adamw"]


def train(
    logits: Callable[[Tensor], Tensor],
    parameters: list[Tensor],
    features: Tensor,
    labels: Int[Tensor, " n_samples"],
    draws: Int[Tensor, "n_epochs n_draws"],
    *,
    optimizer: Optimizer,
    learning_rate: float,
    weight_decay: float,
    batch_size: int,
    label: str,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Minimise cross-entropy over the drawn examples; change `parameters` in place.

    The learning rate falls to 0 along a cosine, step by step. Weight decay acts on the
    first parameter, the weight, alone. SGD has Nesterov momentum 0.9.

    Parameters
    ----------
    logits
        From a batch of features, in dtype and device of the parameters, to logits.
    parameters
        Leaf tensors that require gradients, the weight first.
    features, labels
        All examples; batches are taken from where they lie.
    draws
        Which examples each epoch shows.
    label
        What the progress bar calls this.
    after_step
        Called without gradients after every step, if given.
    """
    groups = [
        {"params": parameters[:1], "weight_decay": weight_decay},
        {"params": parameters[1:], "weight_decay": 0.0},
    ]
    stepper: torch.optim.Optimizer
    if optimizer == "sgd":
        stepper = torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True)
    else:
        stepper = torch.optim.AdamW(groups, lr=learning_rate)
    n_steps = len(draws) * math.ceil(draws.shape[1] / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, n_steps)
    like = parameters[0]
    for rows in track(_batches(draws, batch_size), n_steps, label):
        batch = features[rows.to(features.device)].to(like.device, like.dtype)
        loss = _cross_entropy(logits(batch), labels[rows].to(like.device))
        stepper.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        stepper.step()
        schedule.step()
        if after_step is not None:
            with torch.no_grad():
                after_step()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy, without gradients that are denormal numbers.

    A processor takes many times as long for those: so the probability of a wrong class
    counts as e^-60 at least, which changes nothing that float32 can tell.
    """
    floor = logits.detach().amax(dim=1, keepdim=True) - 60
    total = torch.maximum(logits, floor).logsumexp(dim=1)
    return (total - logits.gather(1, labels[:, None]).squeeze(1)).mean()


def _batches(draws: Tensor, batch_size: int) -> Iterator[Tensor]:
    for epoch in draws:
        yield from epoch.split(batch_size)


def feature_moments(features: Tensor) -> tuple[Float[Tensor, " n_features"], float]:
    """Return the mean, and the root of the total variance, in float64.

    Two passes in blocks: no copy of the features, no loss of digits.
    """
    blocks = list(row_blocks(*features.shape))
    n_samples = len(features)
    mean = sum(features[b].double().sum(dim=0) for b in blocks) / n_samples
    spread = sum((features[b].double() - mean).square().sum().item() for b in blocks)
    return torch.as_tensor(mean), math.sqrt(spread / n_samples)
