"""From a base head and its training data to AlphaNet's coefficients of every epoch."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtail.heads import LinearHead
from headtail.methods._frozen import frozen_logits
from headtail.methods.transfer._coefficient_networks import (
    DirectCoefficients,
    PerClassNetworks,
    SharedNetwork,
    first_layers,
)
from headtail.methods.transfer._coefficient_training import (
    Composition,
    Schedule,
    train_coefficients,
)
from headtail.methods.transfer._coefficients import (
    nearest_classes,
    principal_components,
)
from headtail.statistics import ClassStatistics

__all__ = ["FIRST_EPOCH", "Trained", "Variant", "train_alphanet"]

Variant = Literal["per-class", "direct", "shared"]

# The first epoch that may be chosen.
FIRST_EPOCH = {"per-class": 1, "direct": 1, "shared": 5}

# Epochs, learning rate, and epochs after which the rate falls to a tenth.
_PER_CLASS = (100, 0.1, 20)
_SHARED = (25, 1e-3, 10)
_MOST_COMPONENTS = 500


class Trained(NamedTuple):
    """A base, and the coefficients of every epoch on top of it.

    Attributes
    ----------
    head
        The base.
    composition
        What every few-shot class is composed of.
    distances
        How far its neighbours are: [n_few, K].
    history
        The coefficients: [n_epochs, n_few, K + 1].
    """

    head: LinearHead
    composition: Composition
    distances: Float[Tensor, "n_few K"]
    history: Float[Tensor, "n_epochs n_few n_vectors"]


def train_alphanet(
    head: LinearHead,
    features: Tensor,
    positions: Int[Tensor, " n_samples"],
    few: Int[Tensor, " n_few"],
    *,
    variant: Variant,
    n_neighbors: int,
    gamma: float,
    n_components: int | None,
    base_ratio: float,
    epochs: int | None,
    learning_rate: float | None,
    batch_size: int,
    generator: torch.Generator,
) -> Trained:
    """Find the neighbours, build the networks and train them, see the estimator."""
    composition, distances = _composition(
        head, features, positions, few, n_neighbors, variant != "shared"
    )
    vectors = composition.vectors
    shared = variant == "shared"
    usual_epochs, usual_rate, decay_every = _SHARED if shared else _PER_CLASS
    network = _network(
        head.weight.detach(), vectors, variant, gamma, n_components, generator
    )
    history = train_coefficients(
        network,
        composition,
        frozen_logits(head, features),
        positions,
        schedule=Schedule(
            epochs=epochs or usual_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate or usual_rate,
            decay_every=decay_every,
            adamw=shared,
            base_ratio=base_ratio,
            balanced=shared,
        ),
        generator=generator,
        label="training AlphaNet",
    )
    return Trained(head, composition, distances, history)


def _composition(
    head: LinearHead,
    features: Tensor,
    positions: Tensor,
    few: Tensor,
    n_neighbors: int,
    composes_bias: bool,
) -> tuple[Composition, Tensor]:
    """Return what the few-shot classes are composed of, and the distances."""
    weight = head.weight.detach()
    statistics = ClassStatistics(*weight.shape, device=weight.device)
    statistics.update(features, positions)
    is_base = torch.ones(len(weight), dtype=torch.bool)
    is_base[few] = False
    few = few.to(weight.device)
    base = is_base.nonzero().flatten().to(weight.device)
    neighbors, distances = nearest_classes(statistics.means, few, base, n_neighbors)
    vectors = torch.cat([few[:, None], neighbors], dim=1)
    bias = weight.new_zeros(len(weight)) if head.bias is None else head.bias.detach()
    return Composition(few, vectors, bias, composes_bias), distances


def _network(
    weight: Tensor,
    vectors: Tensor,
    variant: Variant,
    gamma: float,
    n_components: int | None,
    generator: torch.Generator,
) -> nn.Module:
    n_few, n_vectors = vectors.shape
    if variant == "direct":
        return DirectCoefficients(n_few, n_vectors, gamma, weight)
    # Divided by the rows' mean length: learning rates do not depend on it then.
    length = weight.square().sum(dim=1).mean().sqrt()
    weight = weight / torch.where(length > 0, length, 1)
    if variant == "shared":
        return SharedNetwork(weight[vectors].flatten(1), n_vectors, generator)
    if n_components is None:
        n_components = min(_MOST_COMPONENTS, weight.shape[1], len(weight) - 1)
    inputs = principal_components(weight, n_components)[vectors].flatten(1)
    hidden = first_layers(inputs, n_components, generator)
    return PerClassNetworks(hidden, inputs, gamma, n_vectors, generator)
