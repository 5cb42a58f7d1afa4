"""From features to a trained chain, and from weights through it to moved weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.methods._chain import Chain
from headtail.methods._door import check_finite
from headtail.methods.transfer._bank import (
    Bank,
    Scaled,
    build_bank,
    scaled_features,
)
from headtail.methods.transfer._chain_training import Task, train_chain
from headtail.methods.transfer._shot_models import Solver, many_shot_model
from headtail.tensors import as_tensor

__all__ = [
    "Plan",
    "Ready",
    "Recipe",
    "SplitFeatures",
    "mean_lengths",
    "moved",
    "prepare",
    "starts_of",
    "train_plan",
    "usable_shots",
]

SplitFeatures = Callable[[npt.NDArray[Any], npt.NDArray[np.int64]], Any]

_WEIGHT_DECAY = 0.01
_MODELS_FOR_LENGTHS = 20


class Recipe(NamedTuple):
    """How models and chains are learned, see the estimators' parameters."""

    solver: Solver
    penalty: float
    n_models: dict[int, int]
    steps: int
    learning_rate: float


class Plan(NamedTuple):
    """A network to train, and who enters it where.

    Attributes
    ----------
    shots
        Of its blocks, by which classes enter, see `entry_blocks`.
    residual
        Whether blocks add to their input.
    stages
        Tasks, stage by stage, see `train_chain`.
    """

    shots: tuple[int, ...]
    residual: bool
    stages: list[list[Task]]


class Ready(NamedTuple):
    """Everything that a chain is trained on and applied to.

    Attributes
    ----------
    scaled
        The features.
    bank
        The pairs of models.
    shots
        Of the bank: those of which there are two head classes.
    weight
        Of the classifier of all classes, in the bank's unit: [n_classes, n_features].
    class_counts
        By which classes enter the chain.
    """

    scaled: Scaled
    bank: Bank
    shots: tuple[int, ...]
    weight: Float[Tensor, "n_classes n_features"]
    class_counts: Int[Tensor, " n_classes"]


def usable_shots(
    class_counts: npt.NDArray[np.int64], shots: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the numbers k of which two classes have more than 2k examples.

    Examples
    --------
    >>> usable_shots(np.array([9, 5, 2]), (1, 2, 4))
    (1, 2)
    """
    second = int(np.sort(class_counts)[-2])
    return tuple(k for k in shots if 2 * k < second)


def prepare(
    features: Tensor,
    positions: Int[Tensor, " n_samples"],
    classes: npt.NDArray[Any],
    shots: tuple[int, ...],
    recipe: Recipe,
    *,
    like: Tensor,
    generator: torch.Generator,
    kept: Tensor | None = None,
    split_features: SplitFeatures | None = None,
) -> Ready:
    """Scale the examples that are kept; learn their bank and their plain weights."""
    shape = features.shape
    rows = np.arange(len(features)) if kept is None else kept.numpy().nonzero()[0]
    if kept is not None:
        features, positions = features[kept.to(features.device)], positions[kept]
    scaled = scaled_features(features, positions, like)

    def features_of(head: Tensor) -> Tensor:
        if split_features is None:
            return scaled.features
        own = as_tensor(split_features(classes[head.numpy()], rows))
        if own.shape != shape:
            raise ValueError(
                f"split_features must return features of shape {list(shape)}, as X "
                f"has; got {list(own.shape)}. Return one row for every row of X."
            )
        own = own if kept is None else own[kept.to(own.device)]
        check_finite(own)
        return scaled_features(own, positions, like).features

    counts = torch.bincount(positions)
    shots = usable_shots(counts.numpy(), shots)
    bank = build_bank(
        features_of,
        positions,
        shots,
        [recipe.n_models[k] for k in shots],
        solver=recipe.solver,
        penalty=recipe.penalty,
        generator=generator,
    )
    plain = many_shot_model(
        scaled.features, positions, solver=recipe.solver, penalty=recipe.penalty
    )
    return Ready(scaled, bank, shots, plain * bank.unit, counts)


def train_plan(
    ready: Ready,
    plan: Plan,
    performance_weight: float,
    recipe: Recipe,
    generator: torch.Generator,
) -> Chain:
    """Train a fresh chain as planned."""
    chain = Chain(
        len(plan.shots),
        ready.weight.shape[1],
        residual=plan.residual,
        generator=generator,
    ).to(ready.weight)
    train_chain(
        chain,
        ready.bank.splits,
        plan.stages,
        scale=ready.bank.scale,
        performance_weight=performance_weight,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=_WEIGHT_DECAY,
        generator=generator,
        label="training the chain",
    )
    if not all(bool(t.isfinite().all()) for t in chain.state_dict().values()):
        raise ValueError(
            "The training of the chain must converge; it ended in NaN or inf with "
            f"learning_rate={recipe.learning_rate:g}. Lower it."
        )
    return chain


@torch.no_grad()
def moved(
    chain: Chain,
    weight: Float[Tensor, "n_classes n_features"],
    blocks: Int[Tensor, " n_classes"],
) -> Float[Tensor, "n_classes n_features"]:
    """Return every class's weight, sent through the chain from its block on.

    All classes that entered at or before a block pass it together.
    """
    result = weight.clone()
    for block in range(chain.n_blocks):
        inside = (blocks <= block).nonzero().flatten().to(weight.device)
        if len(inside):
            result[inside] = chain.step(block, result[inside])
    return result


@torch.no_grad()
def mean_lengths(ready: Ready, plan: Plan, chain: Chain) -> Float[Tensor, "n_shots 3"]:
    """Return three mean lengths for every split of the plan, on the scale of logits.

    Of k-shot models, of what the chain makes of them, and of many-shot models.
    """
    rows = []
    for split, block in sorted(starts_of(plan).items()):
        pairs = ready.bank.splits[split]
        models = pairs.models[:_MODELS_FOR_LENGTHS].flatten(0, 1)
        out = chain(models, block)
        rows.append([m.norm(dim=1).mean() for m in (models, out, pairs.target)])
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 3) * ready.bank.scale


def starts_of(plan: Plan) -> dict[int, int]:
    """Return the block of every split that the plan trains on."""
    return {task.split: task.block for tasks in plan.stages for task in tasks}
