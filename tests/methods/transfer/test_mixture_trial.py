"""A trial on a simulated tail: its fast logits and its recalls, in NumPy."""

from itertools import product

import numpy as np
import pytest
import torch

from headtail.methods._simulated_tails import SimulatedTail
from headtail.methods.transfer._balanced_training import BalancedWeights
from headtail.methods.transfer._mixture import mixed_weight
from headtail.methods.transfer._mixture_search import UNKNOWN
from headtail.methods.transfer._mixture_trial import MixtureTrial
from headtail.tensors import unit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


OCCURS = torch.tensor([0, 1, 3, 4, 5, 6])


@pytest.fixture
def trial():
    """A tail of seven classes: 0 and 1 were cut, 2 is left out, 6 is not scored."""
    n_samples, n_features = 120, 4
    real = torch.tensor([150, 130, 4, 120, 60, 30, 5])
    simulated = torch.tensor([2, 4, 0, 96, 48, 20, 5])
    cut = torch.tensor([True, True] + [False] * 5)
    draws = torch.randn(n_samples + 20, n_features, generator=generator()).double()
    held, rows = unit(draws[:n_samples]), draws[n_samples:]
    trial = MixtureTrial(
        # Which examples were kept is not looked at again.
        tail=SimulatedTail(torch.ones(1) > 0, torch.ones(1) > 0, cut, simulated),
        occurs=OCCURS,
        held=held,
        labels=OCCURS[torch.randint(0, 5, (n_samples,), generator=generator(1))],
        prototypes=unit(rows[:6]),
        weights=BalancedWeights(3 * rows[6:12], rows[12:18, 0]),
    )
    return trial, real


def composed_logits(trial, mixture):
    """Logits of `mixed_weight`, without anything that was kept."""
    counts = trial.tail.class_counts[OCCURS]
    donors = counts > mixture.donors
    mixed = mixed_weight(
        trial.prototypes,
        trial.weights.weight,
        counts,
        torch.ones(6, dtype=torch.bool),
        donors if donors.any() else ~donors,
        mixture,
    )
    return trial.held @ (trial.weights.scale * unit(mixed)).T


def scores_of(trial, mixture):
    """Return the scores whose largest is predicted, by NumPy."""
    counts = trial.tail.class_counts[OCCURS].numpy()
    shift = mixture.prior * np.log(counts / counts.sum())
    linear = trial.held @ trial.weights.weight.T + trial.weights.bias
    logits = {"linear": linear, "composed": composed_logits(trial, mixture)}
    wanted = ("linear", "composed") if mixture.members == "both" else [mixture.members]
    odds = [np.exp(logits[member].numpy() - shift) for member in wanted]
    return sum(part / part.sum(axis=1)[:, None] for part in odds)


def recalls_of(scores, labels):
    """Return the recalls of the five scored classes."""
    predicted, labels = OCCURS.numpy()[scores.argmax(axis=1)], labels.numpy()
    return [(predicted[labels == c] == c).mean() for c in OCCURS.tolist()[:5]]


MIXTURES = [
    UNKNOWN._replace(
        members=members,
        transfer=a,
        prototype=b,
        half_count=h,
        donors=k,
        temperature=t,
        prior=prior,
    )
    for members, a, b, h, k, t, prior in product(
        ("linear", "composed", "both"),
        (0.0, 0.5),
        (0.5, 1.0),
        (5.0, 1e6),
        (0, 20, 100),
        (10.0, 30.0),
        (-0.25,),
    )
]


def test_the_fast_logits_are_those_of_the_composed_weight(trial):
    trial, _ = trial
    for mixture in MIXTURES:
        torch.testing.assert_close(
            trial._composed(mixture), composed_logits(trial, mixture)
        )


def test_a_weight_of_length_zero_has_logits_of_zero(trial):
    trial, _ = trial
    trial.counts = torch.zeros(6, dtype=torch.int64)
    trial.prototypes[2] = -trial.directions[2]
    trial.by_prototype = trial.held @ trial.prototypes.T
    mixture = UNKNOWN._replace(transfer=0.0, prototype=1.0, donors=0)
    ours = trial._composed(mixture)
    assert (ours[:, 2].abs() < 1e-9).all()
    assert ours.isfinite().all()


def test_a_trial_predicts_as_its_members_probabilities_say(trial):
    trial, _ = trial
    for mixture in MIXTURES:
        ours = trial._probabilities(mixture).numpy()
        np.testing.assert_allclose(ours, scores_of(trial, mixture), rtol=1e-9)


def test_a_score_is_the_recall_by_shot_groups_and_that_of_the_head(trial):
    trial, real = trial
    for mixture in MIXTURES[::5]:
        recalls = recalls_of(scores_of(trial, mixture), trial.labels)
        # Many: class 3, for three real ones. Medium: classes 4 and 5, for two.
        # Few: the cut classes 0 and 1, for two; class 6 is not scored.
        few, medium = np.mean(recalls[:2]), np.mean(recalls[3:5])
        overall = (3 * recalls[2] + 2 * medium + 2 * few) / 7
        assert trial.score(mixture, real) == pytest.approx((overall, recalls[2]))
        assert trial.tail_recall(mixture) == pytest.approx(few)


def test_where_none_has_more_than_100_the_larger_half_is_the_head(trial):
    trial, _ = trial
    for real, head in [
        ([100, 100, 4, 100, 60, 30, 5], [2, 3]),
        ([100, 100, 4, 50, 50, 50, 5], [2, 3, 4]),
        ([500, 500, 4, 30, 101, 20, 5], [3]),
    ]:
        recalls = recalls_of(scores_of(trial, UNKNOWN), trial.labels)
        _, ours = trial.score(UNKNOWN, torch.tensor(real))
        assert ours == pytest.approx(np.mean([recalls[c] for c in head]))


def test_the_plain_classifier_expects_the_training_frequencies(trial):
    trial, real = trial
    plain = UNKNOWN._replace(members="linear", prior=-1.0)
    recalls = recalls_of(scores_of(trial, plain), trial.labels)
    assert trial.plain(real) == pytest.approx(recalls[2])
