import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.samplers import class_probabilities, draw_class_aware, draw_epochs

RULES = ["instance", "sqrt", "class", "progressive", "class-aware", "reversed"]
SEEDS = st.integers(0, 2**31)
LABELS = st.lists(st.sampled_from([0, 0, 0, 1, 2, 5]), min_size=1, max_size=25)
COUNTS = st.lists(st.integers(0, 2000), min_size=1, max_size=8).filter(any)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def drawn(labels, rule, n_epochs, seed):
    """All epochs, one row each."""
    return torch.stack(list(draw_epochs(labels, rule, n_epochs, seeded(seed))))


def shares_of(draws, labels, n_classes):
    """Count how often each class was drawn, one draw after the other."""
    counts = [0] * n_classes
    for draw in draws.flatten().tolist():
        counts[labels[draw]] += 1
    return torch.tensor(counts, dtype=torch.float64) / draws.numel()


def assert_frequencies(shares, expected, n_draws):
    """Allow five standard deviations of a share."""
    expected = torch.tensor(expected, dtype=torch.float64)
    deviation = (expected * (1 - expected) / n_draws).sqrt()
    assert ((shares - expected).abs() <= 5 * deviation).all()


@given(COUNTS, st.sampled_from([1.0, 0.5, 0.0, -1.0, 0.3]))
def test_class_probabilities_match_the_formula(counts, exponent):
    powers = [n**exponent if n else 0.0 for n in counts]
    expected = [power / math.fsum(powers) for power in powers]
    got = class_probabilities(torch.tensor(counts), exponent)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@given(COUNTS, st.integers(2, 9))
def test_repeating_all_examples_changes_no_probability(counts, factor):
    counts = torch.tensor(counts)
    torch.testing.assert_close(
        class_probabilities(counts * factor, 0.5), class_probabilities(counts, 0.5)
    )


@given(LABELS, st.sampled_from(RULES), st.integers(1, 4), SEEDS)
def test_same_seed_gives_the_same_draws(labels, rule, n_epochs, seed):
    labels = torch.tensor(labels)
    first = drawn(labels, rule, n_epochs, seed)
    second = drawn(labels, rule, n_epochs, seed)
    assert first.shape == (n_epochs, len(labels))
    assert first.dtype == torch.int64
    assert torch.equal(first, second)
    assert ((first >= 0) & (first < len(labels))).all()


@pytest.mark.parametrize("rule", RULES)
def test_other_seed_gives_other_draws(rule):
    labels = torch.arange(200) % 7
    first, second = (drawn(labels, rule, 2, seed) for seed in (0, 1))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("rule", RULES)
def test_draws_leave_the_global_state_alone(rule):
    state = torch.get_rng_state()
    drawn(torch.tensor([0, 1, 1]), rule, 2, 0)
    assert torch.equal(torch.get_rng_state(), state)


@given(LABELS, st.integers(1, 4), SEEDS)
def test_instance_shows_every_example_once_an_epoch(labels, n_epochs, seed):
    draws = drawn(torch.tensor(labels), "instance", n_epochs, seed)
    for epoch in draws.tolist():
        assert sorted(epoch) == list(range(len(labels)))


@pytest.mark.parametrize(
    ("rule", "exponent"), [("sqrt", 0.5), ("class", 0.0), ("reversed", -1.0)]
)
def test_frequencies_follow_the_formula(rule, exponent):
    # Class 2 has no example; the order is mixed so that position tells nothing.
    counts = [80, 18, 0, 2]
    labels = [0, 0, 1, 0, 0] * 18 + [0] * 8 + [3, 3]
    draws = drawn(torch.tensor(labels), rule, 500, 0)
    powers = [n**exponent if n else 0.0 for n in counts]
    expected = [power / sum(powers) for power in powers]
    assert_frequencies(shares_of(draws, labels, 4), expected, draws.numel())
    inside = torch.bincount(draws.flatten(), minlength=100) / draws.numel()
    uniform = [expected[label] / counts[label] for label in labels]
    assert_frequencies(inside.double(), uniform, draws.numel())


def test_progressive_goes_from_instance_to_class():
    labels = [0] * 900 + [1] * 90 + [2] * 10
    draws = drawn(torch.tensor(labels), "progressive", 5, 0)
    for epoch, share in zip(draws, [0, 0.25, 0.5, 0.75, 1], strict=True):
        mixed = [(1 - share) * p + share / 3 for p in (0.9, 0.09, 0.01)]
        assert_frequencies(shares_of(epoch, labels, 3), mixed, len(labels))


def test_progressive_reaches_both_ends_exactly():
    # In the last of two epochs a class of one in 5000 is drawn every other time.
    labels = [0] * 4999 + [1]
    draws = drawn(torch.tensor(labels), "progressive", 2, 0)
    first, last = (shares_of(epoch, labels, 2) for epoch in draws)
    assert_frequencies(first, [4999 / 5000, 1 / 5000], 5000)
    assert_frequencies(last, [0.5, 0.5], 5000)


def assert_class_aware(draws, labels):
    n_classes = len(set(labels))
    seen = [labels[draw] for draw in draws]
    turns = [seen[start : start + 4] for start in range(0, len(seen), 4)]
    for turn in turns:
        assert len(set(turn)) == 1
    for start in range(0, len(turns), n_classes):
        cycle = [turn[0] for turn in turns[start : start + n_classes]]
        assert len(set(cycle)) == len(cycle)
    for label in set(labels):
        members = {i for i, other in enumerate(labels) if other == label}
        mine = [draw for draw in draws if labels[draw] == label]
        for start in range(0, len(mine), len(members)):
            part = mine[start : start + len(members)]
            assert len(set(part)) == len(part)
            assert set(part) <= members


@given(LABELS, st.integers(1, 150), SEEDS)
def test_class_aware_cycles_over_classes_and_examples(labels, n_draws, seed):
    draws = draw_class_aware(torch.tensor(labels), n_draws, seeded(seed))
    assert draws.shape == (n_draws,)
    assert_class_aware(draws.tolist(), labels)


@given(LABELS, st.integers(1, 6), SEEDS)
def test_class_aware_cycle_runs_through_all_epochs(labels, n_epochs, seed):
    draws = drawn(torch.tensor(labels), "class-aware", n_epochs, seed)
    assert_class_aware(draws.flatten().tolist(), labels)


def test_class_aware_shuffles_every_cycle_anew():
    labels = torch.tensor([0] * 40 + [1] * 40)
    draws = draw_class_aware(labels, 240, seeded(0)).tolist()
    mine = [draw for draw in draws if draw < 40]
    first, second, third = mine[:40], mine[40:80], mine[80:]
    assert sorted(first) == sorted(second) == sorted(third) == list(range(40))
    assert first != second != third != first
    assert first != sorted(first)
    starts = [int(draw >= 40) for draw in draws[::8]]
    assert 0 < sum(starts) < len(starts)


def test_class_aware_draws_every_place_of_a_cycle_alike():
    # Which of its 3 examples comes first, in each of 3000 classes.
    labels = torch.arange(3000).repeat_interleave(3)
    draws = draw_class_aware(labels, 4 * 3000, seeded(0)).reshape(3000, 4)
    opening = torch.bincount(draws[:, 0] % 3).double() / 3000
    assert_frequencies(opening, [1 / 3] * 3, 3000)


def test_unknown_sampling_is_refused(monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"'sqrt', .*got 'balanced'"):
        draw_epochs(torch.tensor([0, 1]), "balanced", 1, seeded(0))
