"""Choose a mixture on simulated tails: which data were too easy to tell, what loses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.methods._selection import Selection, mean_recalls
from headtail.methods._simulated_tails import (
    SimulatedTail,
    cut_head_classes,
    weighted_recall,
)
from headtail.methods.transfer._balanced_training import (
    BalancedWeights,
    Directions,
    train_balanced,
)
from headtail.methods.transfer._composition import transfer
from headtail.methods.transfer._mixture import Mixture, log_prior, mixed_weight
from headtail.tensors import unit

__all__ = ["MEMORISED", "UNKNOWN", "choose_mixture", "donor_thresholds"]

# Where no tail can be simulated, and where the search starts.
UNKNOWN = Mixture("both", 0.0, 0.25, 0.5, 20.0, 20, 10.0)
# Where simulated tails are recognised so well that they tell nothing of real ones: the
# network knows its training examples by heart, and new ones will scatter more.
MEMORISED = Mixture("composed", 0.25, 0.25, 0.0, 5.0, 20, 10.0, noise=0.5)
_TOO_EASY = 0.9

_PRIORS = (-0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.5)
_TRANSFERS = (0.0, 0.25, 0.5, 1.0)
_PROTOTYPES = (0.0, 0.5, 1.0)
# The last is the same for every number of examples that there is.
_HALF_COUNTS = (5.0, 20.0, 1e6)
_DONORS = (20, 100)
_TEMPERATURES = (10.0, 30.0)
_ROUNDS = 2

# One large data set is as good as six small ones, which is as many as pay.
_EXAMPLES_IN_ALL, _MOST_TAILS = 80_000, 6
_MOST_HELD_BACK = 4_000
# Fewer cut classes, over all tails, say nothing.
_LEAST_CUT = 12


class _Score(NamedTuple):
    """What a mixture reaches on average over the tails; greater is better."""

    slack: float
    recall: float


def donor_thresholds(counts: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Return those of 20 and 100 that two classes exceed; 0 if there is none."""
    return tuple(k for k in _DONORS if (counts > k).sum() > 1) or (0,)


def choose_mixture(
    directions: Directions,
    positions: Tensor,
    prototypes_of: Callable[[Tensor], Tensor],
    classes: npt.NDArray[Any],
    *,
    max_head_loss: float,
    generator: torch.Generator,
) -> tuple[Mixture, Selection | None]:
    """Return the mixture that does best on simulated tails, and the record.

    Parameters
    ----------
    directions
        From indices of examples to their whitened directions.
    positions
        Class positions of all examples.
    prototypes_of
        From a mask of examples to the directions of all classes' means.
    max_head_loss
        What the head may lose against the plain classifier, as a recall in 0 … 1.
    """
    counts = torch.bincount(positions)
    tails = _tails(positions, generator)
    unknown = _with_donors(UNKNOWN, counts.numpy())
    if sum(int(tail.cut.sum()) for tail in tails) < _LEAST_CUT:
        return unknown, None
    trials = [
        _trial(directions, positions, prototypes_of, tail, generator) for tail in tails
    ]
    known: dict[Mixture, _Score] = {}

    def score(mixture: Mixture) -> _Score:
        if mixture not in known:
            found = np.mean([t.score(mixture, counts) for t in trials], axis=0)
            slack = min(max_head_loss - plain + found[1], 0.0)
            known[mixture] = _Score(float(slack), float(found[0]))
        return known[mixture]

    plain = float(np.mean([trial.plain(counts) for trial in trials]))
    tail_recall = float(np.mean([trial.tail_recall(unknown) for trial in trials]))
    too_easy = tail_recall >= _TOO_EASY
    if too_easy:
        best = _with_donors(MEMORISED, counts.numpy())
        score(unknown)
        score(best)
    else:
        best = _searched(unknown, donor_thresholds(counts.numpy()), score)
    return best, _record(best, known, trials, classes, tail_recall, too_easy)


def _tails(positions: Tensor, generator: torch.Generator) -> list[SimulatedTail]:
    n_tails = min(max(_EXAMPLES_IN_ALL // len(positions), 1), _MOST_TAILS)
    try:
        return [
            cut_head_classes(
                positions, max_held_back=_MOST_HELD_BACK, generator=generator
            )
            for _ in range(n_tails)
        ]
    except ValueError:  # no two classes are large enough to be cut
        return []


def _with_donors(mixture: Mixture, counts: npt.NDArray[np.int64]) -> Mixture:
    return mixture._replace(donors=donor_thresholds(counts)[0])


def _searched(
    start: Mixture, donors: Sequence[int], score: Callable[[Mixture], _Score]
) -> Mixture:
    """Try the linear member alone; improve the others by two coefficients at a time."""
    found = [
        max((start._replace(members="linear", prior=p) for p in _PRIORS), key=score)
    ]
    axes = (
        (("prior", "half_count"), (_PRIORS, _HALF_COUNTS)),
        (("transfer", "prototype"), (_TRANSFERS, _PROTOTYPES)),
        (("donors", "temperature"), (donors, _TEMPERATURES)),
    )
    for members in ("both", "composed"):
        best = start._replace(members=members)
        for names, values in axes * _ROUNDS:
            tried = [
                best._replace(**dict(zip(names, pair, strict=True)))
                for pair in product(*values)
            ]
            best = max([best, *tried], key=score)
        found.append(best)
    return max(found, key=score)


@dataclass
class _Trial:
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
        factor = mixture.half_count / (mixture.half_count + self.counts)
        factor = factor.to(self.held)
        summed = self.by_weight + factor * (
            mixture.transfer * by_received + mixture.prototype * self.by_prototype
        )
        return self.weights.scale * summed / torch.where(lengths > 0, lengths, 1)


def _trial(
    directions: Directions,
    positions: Tensor,
    prototypes_of: Callable[[Tensor], Tensor],
    tail: SimulatedTail,
    generator: torch.Generator,
) -> _Trial:
    occurs = (tail.class_counts > 0).nonzero().flatten()
    where = torch.zeros(len(tail.class_counts), dtype=torch.int64)
    where[occurs] = torch.arange(len(occurs))
    rows = tail.kept.nonzero().flatten()
    prototypes = prototypes_of(tail.kept)[occurs]
    return _Trial(
        tail=tail,
        occurs=occurs,
        held=directions(tail.held_back.nonzero().flatten()),
        labels=positions[tail.held_back],
        prototypes=prototypes,
        weights=train_balanced(
            directions, where[positions[rows]], rows, prototypes, generator
        ),
    )


def _record(
    best: Mixture,
    known: dict[Mixture, _Score],
    trials: list[_Trial],
    classes: npt.NDArray[Any],
    tail_recall: float,
    too_easy: bool,
) -> Selection:
    n_cut = sum(int(trial.tail.cut.sum()) for trial in trials)
    data = f"{len(trials)} simulated tail(s), {n_cut} cut class(es) in all"
    data += f", recognised at {tail_recall:.0%}"
    if too_easy:
        data += ": too easy to tell, so a safe mixture was taken"
    scored = torch.zeros(len(classes), dtype=torch.bool)
    for trial in trials:
        scored[trial.labels] = True
    return Selection(
        candidates=tuple(mixture._asdict() for mixture in known),
        scores=np.array([score.recall for score in known.values()]),
        best_index=list(known).index(best),
        data=data,
        n_samples=sum(len(trial.labels) for trial in trials),
        missing_classes=classes[~scored.numpy()],
        optimistic=False,
    )
