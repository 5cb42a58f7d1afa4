"""From training data to the pairs of few-shot and many-shot models."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from headtail.methods._training import feature_moments, rows_of
from headtail.methods.transfer._chain_training import Split
from headtail.methods.transfer._shot_models import (
    Solver,
    many_shot_model,
    shot_models,
)
from headtail.progress import counter
from headtail.tensors import row_blocks

__all__ = ["Bank", "Scaled", "build_bank", "scaled_features"]

_MODELS_FOR_SCALE = 8
_EXAMPLES_FOR_SCALE = 2**12


class Scaled(NamedTuple):
    """Features centred at the mean of the class means, with total variance near 1.

    Attributes
    ----------
    features
        A copy, where and in what the work is done: [n_samples, n_features].
    center
        What was subtracted.
    spread
        What they were divided by then.
    """

    features: Float[Tensor, "n_samples n_features"]
    center: Float[Tensor, " n_features"]
    spread: float


class Bank(NamedTuple):
    """What a chain is trained on.

    All weights are multiplied by `unit`, which brings the many-shot ones to entries of
    size 1.

    Attributes
    ----------
    splits
        One per number of shots, see `Split`.
    unit
        The factor of the weights.
    scale
        Factor of the logits of such weights before the softmax.
    """

    splits: list[Split]
    unit: float
    scale: float


def scaled_features(
    features: Tensor, positions: Int[Tensor, " n_samples"], like: Tensor
) -> Scaled:
    """Copy the features, scaled, in blocks."""
    n_samples, n_features = features.shape
    counts = torch.bincount(positions)
    share = (1 / (counts.double() * (counts > 0).sum()))[positions]
    center = torch.zeros(n_features, dtype=torch.float64, device=features.device)
    for rows in row_blocks(n_samples, n_features):
        center += share[rows].to(center.device) @ features[rows].double()
    spread = feature_moments(features)[1] or 1.0
    center = center.to(like)
    scaled = torch.empty(n_samples, n_features, dtype=like.dtype, device=like.device)
    every = torch.arange(n_samples)
    for rows in row_blocks(n_samples, n_features):
        scaled[rows] = (rows_of(features, every[rows], scaled) - center) / spread
    return Scaled(scaled, center, spread)


def build_bank(
    features_of: Callable[[Tensor], Tensor],
    positions: Int[Tensor, " n_samples"],
    shots: Sequence[int],
    n_models: Sequence[int],
    *,
    solver: Solver,
    penalty: float,
    generator: torch.Generator,
) -> Bank:
    """Learn the models of every split: of the classes with more than 2k examples.

    Parameters
    ----------
    features_of
        From the positions of a split's head classes to the scaled features of all
        samples.
    n_models
        How many k-shot models, for every k in `shots`.
    """
    counts = torch.bincount(positions)
    splits = []
    with counter(sum(n_models), "learning k-shot models") as advance:
        for k, n in zip(shots, n_models, strict=True):
            head = (counts > 2 * k).nonzero().flatten()
            rows = torch.isin(positions, head).nonzero().flatten()
            labels = torch.searchsorted(head, positions[rows])
            gather = _gather(features_of(head), rows)
            models = shot_models(
                gather,
                labels,
                n,
                k,
                solver=solver,
                penalty=penalty,
                generator=generator,
                advance=advance,
            )
            every = gather(torch.arange(len(rows)))
            target = many_shot_model(every, labels, solver=solver, penalty=penalty)
            splits.append(Split(models, target, gather, labels))
    return _in_units(splits, solver)


def _gather(features: Tensor, rows: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from positions among `rows` to their features."""
    rows = rows.to(features.device)
    return lambda chosen: features[rows[chosen.to(rows.device)]]


def _in_units(splits: list[Split], solver: Solver) -> Bank:
    target = splits[0].target
    length = target.square().sum(dim=1).mean().sqrt().item()
    unit = math.sqrt(target.shape[1]) / (length or 1.0)
    scale = 1.0 if solver == "softmax" else _logit_scale(splits[-1])
    for split in splits:  # in place: the models may be gigabytes
        split.models.mul_(unit)
        split.target.mul_(unit)
    return Bank(splits, unit, scale / unit)


def _logit_scale(split: Split) -> float:
    """Return the factor of logits that minimises the cross-entropy of k-shot models.

    Less than half of a split's examples were seen by any one of its models.
    """
    models = split.models[:_MODELS_FOR_SCALE]
    n_samples = len(split.labels)
    rows = torch.arange(0, n_samples, -(-n_samples // _EXAMPLES_FOR_SCALE))
    features = split.gather(rows)
    logits = torch.einsum("nf,mcf->mnc", features, models).flatten(0, 1)
    labels = split.labels[rows].to(logits.device).repeat(len(models))
    candidates = torch.logspace(-3, 3, 61)
    losses = [F.cross_entropy(factor * logits, labels).item() for factor in candidates]
    return float(candidates[int(torch.tensor(losses).argmin())])
