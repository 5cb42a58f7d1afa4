"""A classifier on a simulated tail, and what every mixture reaches there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headtail.methods._selection import mean_recalls
from headtail.methods._simulated_tails import SimulatedTail, weighted_recall
from headtail.methods.transfer._balanced_training import (
    BalancedWeights,
    Directions,
    train_balanced,
)
from headtail.methods.transfer._composition import transfer
from headtail.methods.transfer._mixture import (
    Mixture,
    count_factor,
    log_prior,
    mixed_weight,
)
from headtail.tensors import unit

__all__ = ["MixtureTrial", "new_trial"]


@dataclass
class MixtureTrial:
    """A classifier trained on a simulated tail, and the examples to score it on."""

    tail: SimulatedTail
    occurs: Tensor
    held: Tensor
    labels: Tensor
    prototypes: Tensor
    weights: BalancedWeights
    _received: dict[tuple[int, float], tuple[Tensor, Tensor]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.counts = self.tail.class_counts[self.occurs]
        self.linear = self.held @ self.weights.weight.T + self.weights.bias
        self.log_prior = log_prior(self.counts).to(self.linear)
        self.directions = unit(self.weights.weight)
        self.by_weight = self.held @ self.directions.T
        self.by_prototype = self.held @ self.prototypes.T

    def score(self, mixture: Mixture, real_counts: Tensor) -> tuple[float, float]:
        """Return the recall over all classes, and that of the head."""
        recalls = self._recalls(self._probabilities(mixture))
        simulated = torch.where(self.tail.cut, self.tail.class_counts, real_counts)
        overall = weighted_recall(recalls, simulated, real_counts)
        return float(overall[0]), self._of_head(recalls[0], real_counts)

    def plain(self, real_counts: Tensor) -> float:
        """Return the head's recall where the training frequencies are expected."""
        return self._of_head(
            self._recalls(self.linear + self.log_prior)[0], real_counts
        )

    def tail_recall(self, mixture: Mixture) -> float:
        """Return the mean recall of the cut classes."""
        recalls = self._recalls(self._probabilities(mixture))[0]
        return float(recalls[self.tail.cut].nanmean())

    def _of_head(self, recalls: Tensor, real_counts: Tensor) -> float:
        head = ~self.tail.cut & ~recalls.isnan()
        many = head & (real_counts > 100)
        # Where none has more than 100 the half with the most examples is the head.
        if not many.any():
            many = head & (real_counts >= real_counts[head].median())
        return float(recalls[many].mean())

    def _recalls(self, scores: Tensor) -> Tensor:
        predicted = self.occurs[scores.argmax(dim=1).cpu()]
        return mean_recalls(predicted[None], self.labels, len(self.tail.cut))

    def _probabilities(self, mixture: Mixture) -> Tensor:
        shift = mixture.prior * self.log_prior
        parts = []
        if mixture.members != "composed":
            parts.append((self.linear - shift).softmax(dim=1))
        if mixture.members != "linear":
            parts.append((self._composed(mixture) - shift).softmax(dim=1))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def _composed(self, mixture: Mixture) -> Tensor:
        """Return the logits of `mixed_weight`, from products computed once."""
        key = (mixture.donors, mixture.temperature)
        donors = (self.counts > mixture.donors).to(self.held.device)
        if not donors.any():  # the only donors were cut
            donors = torch.ones_like(donors)
        if key not in self._received:
            given = self.directions[donors]
            received = unit(
                transfer(self.prototypes, given, given, temperature=mixture.temperature)
            )
            self._received[key] = received, self.held @ received.T
        received, by_received = self._received[key]
        mixed = mixed_weight(
            self.prototypes,
            self.directions,
            self.counts.to(self.held.device),
            torch.ones_like(donors),
            donors,
            mixture,
            received,
        )
        lengths = torch.linalg.vector_norm(mixed, dim=1)
        factor = count_factor(self.counts, mixture.half_count).to(self.held)
        summed = self.by_weight + factor * (
            mixture.transfer * by_received + mixture.prototype * self.by_prototype
        )
        return self.weights.scale * summed / torch.where(lengths > 0, lengths, 1)


def new_trial(
    directions: Directions,
    positions: Tensor,
    prototypes_of: Callable[[Tensor], Tensor],
    tail: SimulatedTail,
    generator: torch.Generator,
) -> MixtureTrial:
    """Train on what the tail keeps; take what it holds back to score on."""
    occurs = (tail.class_counts > 0).nonzero().flatten()
    where = torch.zeros(len(tail.class_counts), dtype=torch.int64)
    where[occurs] = torch.arange(len(occurs))
    rows = tail.kept.nonzero().flatten()
    prototypes = prototypes_of(tail.kept)[occurs]
    return MixtureTrial(
        tail=tail,
        occurs=occurs,
        held=directions(tail.held_back.nonzero().flatten()),
        labels=positions[tail.held_back],
        prototypes=prototypes,
        weights=train_balanced(
            directions, where[positions[rows]], rows, prototypes, generator
        ),
    )
