"""The rules "over" and "under", whose epochs have a length of their own."""

import statistics
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.samplers import draw_epochs, epoch_size

SEEDS = st.integers(0, 2**31)
LABELS = st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 2, 5]), min_size=1, max_size=25)


def epochs_of(labels, rule, n_epochs, seed):
    generator = torch.Generator().manual_seed(seed)
    draws = draw_epochs(torch.tensor(labels), rule, n_epochs, generator)
    return [epoch.tolist() for epoch in draws]


@given(LABELS, st.integers(1, 3), SEEDS)
def test_over_brings_every_class_to_the_largest_as_evenly_as_can_be(
    labels, n_epochs, seed
):
    counts = Counter(labels)
    largest = max(counts.values())
    epochs = epochs_of(labels, "over", n_epochs, seed)
    assert len(epochs) == n_epochs
    for epoch in epochs:
        assert Counter(labels[i] for i in epoch) == dict.fromkeys(counts, largest)
        times = Counter(epoch)
        for example, label in enumerate(labels):
            least, rest = divmod(largest, counts[label])
            assert times[example] in {least, least + (rest > 0)}


@given(LABELS, st.integers(1, 3), SEEDS)
def test_under_caps_at_the_lower_median_without_replacement(labels, n_epochs, seed):
    counts = Counter(labels)
    cap = statistics.median_low(counts.values())
    for epoch in epochs_of(labels, "under", n_epochs, seed):
        assert len(set(epoch)) == len(epoch)
        shown = Counter(labels[i] for i in epoch)
        assert shown == {label: min(n, cap) for label, n in counts.items()}


@pytest.mark.parametrize("rule", ["over", "under"])
@given(labels=LABELS, seed=SEEDS)
def test_epoch_size_is_the_length_of_an_epoch(rule, labels, seed):
    (epoch,) = epochs_of(labels, rule, 1, seed)
    assert epoch_size(torch.tensor(labels), rule) == len(epoch)


@pytest.mark.parametrize(
    "rule", ["instance", "sqrt", "class", "progressive", "class-aware", "reversed"]
)
def test_the_other_rules_show_as_many_as_there_are(rule):
    labels = [0] * 7 + [3] * 2
    assert epoch_size(torch.tensor(labels), rule) == 9
    assert [len(epoch) for epoch in epochs_of(labels, rule, 2, 0)] == [9, 9]


def test_a_position_without_examples_is_neither_drawn_nor_counted():
    # With the empty positions 1 to 3, the lower median would be 0.
    labels = [0] * 6 + [4] * 2 + [5] * 3
    (over,), (under,) = (epochs_of(labels, rule, 1, 0) for rule in ("over", "under"))
    assert Counter(labels[i] for i in over) == {0: 6, 4: 6, 5: 6}
    assert Counter(labels[i] for i in under) == {0: 3, 4: 2, 5: 3}


def test_under_shows_other_examples_in_other_epochs():
    labels = [0] * 40 + [1] * 4
    epochs = epochs_of(labels, "under", 120, 0)
    chosen = [frozenset(i for i in epoch if i < 40) for epoch in epochs]
    assert len(set(chosen)) > 100
    assert frozenset.union(*chosen) == frozenset(range(40))


def test_over_gives_the_extra_turns_to_other_examples_in_other_epochs():
    labels = [0] * 5 + [1] * 3
    twice = Counter()
    for epoch in epochs_of(labels, "over", 300, 0):
        twice.update(i for i, times in Counter(epoch).items() if i > 4 and times == 2)
    # Two of three examples come twice: each in two thirds of the epochs, 200 ± 5·8.
    assert all(160 <= twice[i] <= 240 for i in (5, 6, 7))


@pytest.mark.parametrize("rule", ["over", "under"])
def test_epochs_are_shuffled_and_follow_the_seed(rule):
    labels = [0] * 30 + [1] * 30
    first, second = epochs_of(labels, rule, 2, 0)
    assert first != second
    assert [first, second] == epochs_of(labels, rule, 2, 0)
    assert [first, second] != epochs_of(labels, rule, 2, 1)
    # Classes come mixed: 59 changes of class at most, 1 if they came one by one.
    changes = sum(labels[a] != labels[b] for a, b in pairwise(first))
    assert 15 < changes < 45


@pytest.mark.parametrize("rule", ["over", "under"])
def test_draws_leave_the_global_state_alone(rule):
    state = torch.get_rng_state()
    epochs_of([0, 1, 1], rule, 2, 0)
    assert torch.equal(torch.get_rng_state(), state)
