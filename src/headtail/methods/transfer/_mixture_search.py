"""Choose a mixture on simulated tails: which data were too easy to tell, what loses."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.methods._selection import Selection
from headtail.methods._simulated_tails import SimulatedTail, cut_head_classes
from headtail.methods.transfer._balanced_training import Directions
from headtail.methods.transfer._mixture import Mixture
from headtail.methods.transfer._mixture_trial import MixtureTrial, new_trial

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
    classes
        Labels, for the record.
    max_head_loss
        What the head may lose against the plain classifier, as a recall in 0 … 1.
    generator
        Of the tails and of the training on them.
    """
    counts = torch.bincount(positions)
    tails = _tails(positions, generator)
    unknown = _with_donors(UNKNOWN, counts.numpy())
    if sum(int(tail.cut.sum()) for tail in tails) < _LEAST_CUT:
        return unknown, None
    trials = [
        new_trial(directions, positions, prototypes_of, tail, generator)
        for tail in tails
    ]
    plain = float(np.mean([trial.plain(counts) for trial in trials]))
    tail_recall = float(np.mean([trial.tail_recall(unknown) for trial in trials]))
    known: dict[Mixture, _Score] = {}

    def score(mixture: Mixture) -> _Score:
        if mixture not in known:
            found = np.mean([t.score(mixture, counts) for t in trials], axis=0)
            slack = min(max_head_loss - plain + found[1], 0.0)
            known[mixture] = _Score(float(slack), float(found[0]))
        return known[mixture]

    too_easy = tail_recall >= _TOO_EASY
    if too_easy:
        # Neither recall nor loss tell anything there: both are on record, no more.
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


def _record(
    best: Mixture,
    known: dict[Mixture, _Score],
    trials: list[MixtureTrial],
    classes: npt.NDArray[Any],
    tail_recall: float,
    too_easy: bool,
) -> Selection:
    n_cut = sum(int(trial.tail.cut.sum()) for trial in trials)
    data = f"{len(trials)} simulated tail(s), {n_cut} cut class(es) in all"
    data += f", recognised at {tail_recall:.0%}"
    if too_easy:
        data += (
            ": too easy to choose on, as the features are known by heart or the classes"
            " far apart; a safe mixture was taken"
        )
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
