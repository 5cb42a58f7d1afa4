"""Choosing some examples of every class."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.samplers import capped_counts, choose_per_class, hold_out

SEEDS = st.integers(0, 2**31)
LABELS = st.lists(st.sampled_from([0, 0, 0, 1, 2, 5]), min_size=1, max_size=25)
QUOTAS = st.lists(st.integers(-1, 30), min_size=6, max_size=6)
COUNTS = st.lists(st.integers(0, 300), min_size=1, max_size=8)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@given(LABELS, QUOTAS, SEEDS)
def test_of_every_class_its_quota_is_marked_or_all_there_are(labels, quota, seed):
    marked = choose_per_class(torch.tensor(labels), torch.tensor(quota), seeded(seed))
    assert marked.shape == (len(labels),)
    found = Counter(t for t, m in zip(labels, marked.tolist(), strict=True) if m)
    for label, n in Counter(labels).items():
        assert found[label] == max(0, min(n, quota[label]))


def test_a_quota_for_classes_without_examples_is_allowed():
    labels = torch.tensor([1, 1])
    marked = choose_per_class(labels, torch.tensor([2, 1, 3]), seeded(0))
    assert marked.sum() == 1


def test_every_example_is_marked_alike():
    labels = torch.tensor([0] * 4 + [1] * 6)
    generator = seeded(0)
    total = sum(
        choose_per_class(labels, torch.tensor([1, 3]), generator).int()
        for _ in range(1200)
    )
    # A quarter and a half of 1200 draws, within five standard deviations.
    assert ((total[:4] - 300).abs() <= 75).all()
    assert ((total[4:] - 600).abs() <= 87).all()


@given(LABELS, st.floats(0.01, 0.99), SEEDS)
def test_about_a_fraction_of_every_class_is_held_out(labels, fraction, seed):
    held = hold_out(torch.tensor(labels), fraction, seeded(seed)).tolist()
    found = Counter(t for t, h in zip(labels, held, strict=True) if h)
    for label, n in Counter(labels).items():
        assert abs(found[label] - n * fraction) <= 0.5 + 1e-4 or found[label] == n - 1
        assert n - found[label] >= 1


@pytest.mark.parametrize(
    ("n", "held"), [(1, 0), (2, 0), (3, 1), (4, 1), (7, 1), (8, 2), (100, 20)]
)
def test_a_fifth_of_a_class(n, held):
    labels = torch.tensor([0] * 50 + [2] * n)
    marked = hold_out(labels, 0.2, seeded(0))
    assert marked[:50].sum() == 10
    assert marked[50:].sum() == held


def test_a_large_fraction_leaves_one_example():
    labels = torch.tensor([0, 0, 0, 2])
    marked = hold_out(labels, 0.99, seeded(0))
    assert marked[:3].sum() == 2
    assert not marked[3]


def test_the_seed_chooses_and_the_global_state_stays():
    labels = torch.zeros(50, dtype=torch.int64)
    state = torch.get_rng_state()
    first, same, other = (hold_out(labels, 0.2, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.equal(same)
    assert not first.equal(other)


def by_trying(counts, most):
    """Raise the cap by one for as long as the total allows."""
    cap = 1
    while cap < max(counts) and sum(min(n, cap + 1) for n in counts) <= most:
        cap += 1
    return [min(n, cap) for n in counts]


@given(COUNTS, st.integers(-2, 1500))
def test_the_cap_is_the_highest_that_the_total_allows(counts, most):
    capped = capped_counts(torch.tensor(counts), most)
    assert capped.dtype == torch.int64
    assert capped.tolist() == by_trying(counts, most)


@given(COUNTS, st.permutations(range(8)), st.integers(1, 1500))
def test_the_order_of_classes_does_not_matter_to_the_cap(counts, order, most):
    order = [i for i in order if i < len(counts)]
    permuted = capped_counts(torch.tensor(counts)[order], most)
    assert permuted.equal(capped_counts(torch.tensor(counts), most)[order])


@pytest.mark.parametrize(
    ("counts", "most", "capped"),
    [
        ([90, 30, 5], 125, [90, 30, 5]),
        ([90, 30, 5], 124, [89, 30, 5]),
        ([90, 30, 5], 65, [30, 30, 5]),
        ([90, 30, 5], 64, [29, 29, 5]),
        ([90, 30, 5], 3, [1, 1, 1]),
        ([90, 30, 5], 0, [1, 1, 1]),
        ([7, 0, 2], 4, [2, 0, 2]),
        ([0, 0], 10, [0, 0]),
        ([10**9, 10**9], 10**9, [5 * 10**8, 5 * 10**8]),
    ],
)
def test_counts_are_capped_at_one_number(counts, most, capped):
    given = torch.tensor(counts)
    assert capped_counts(given, most).tolist() == capped
    assert given.tolist() == counts
