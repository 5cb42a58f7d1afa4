"""Cutting head classes: counts by hand, and properties."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from headtail.selection import cut_head_classes


def cut(counts, *, seed=0, **options):
    """Cut data with these counts, whose examples stand in random order."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(9))
    labels = labels[order]
    generator = torch.Generator().manual_seed(seed)
    tail = cut_head_classes(labels, generator=generator, **options)
    kept = torch.bincount(labels[tail.kept], minlength=len(counts))
    held = torch.bincount(labels[tail.held_back], minlength=len(counts))
    assert tail.class_counts.tolist() == kept.tolist()
    assert not (tail.kept & tail.held_back).any()
    return tail, kept.tolist(), held.tolist()


def head_of(counts):
    """Which classes count as head: with 20 examples, or all without two such."""
    big = [n >= 20 for n in counts]
    return big if sum(big) >= 2 else [True] * len(counts)


many_counts = st.lists(st.integers(1, 200), min_size=2, max_size=12)


@given(many_counts, st.integers(0, 2**16), st.floats(0.05, 0.95))
def test_every_class_has_its_part(counts, seed, fraction):
    assume(sorted(counts)[-2] >= 3)
    tail, kept, held = cut(counts, seed=seed, cut_fraction=fraction)
    head = head_of(counts)
    for c, n in enumerate(counts):
        if not head[c]:
            assert kept[c] in (0, n)
            assert (held[c], bool(tail.cut[c])) == (0, False)
        elif tail.cut[c]:
            assert kept[c] in (1, 2, 4, 8, 16)
            assert n >= 3 * kept[c]
            assert held[c] == n - kept[c]
        else:
            assert kept[c] >= 1
            assert abs(held[c] - 0.2 * n) <= 0.5 or kept[c] == 1
            assert kept[c] + held[c] == n


@given(many_counts, st.integers(0, 2**16), st.floats(0.01, 0.99))
def test_the_share_of_able_classes_is_cut_and_one_is_left(counts, seed, fraction):
    able = [n >= 6 and head for n, head in zip(counts, head_of(counts), strict=True)]
    assume(sum(able) >= 2)
    tail, kept, _ = cut(counts, seed=seed, shots=[1, 2], cut_fraction=fraction)
    n_cut = min(max(round(fraction * sum(able)), 1), sum(able) - 1)
    assert int(tail.cut.sum()) == n_cut
    assert all(able[c] for c in tail.cut.nonzero().flatten())
    sizes = sorted(kept[c] for c in tail.cut.nonzero().flatten())
    even = sorted((1, 2)[i % 2] for i in range(n_cut))
    assert sizes == even or (n_cut == 1 and sizes == [2])


@given(many_counts, st.integers(0, 2**16))
def test_same_seed_same_tail(counts, seed):
    assume(sorted(counts)[-2] >= 3)
    first, second = (cut(counts, seed=seed)[0] for _ in range(2))
    assert first.kept.equal(second.kept)
    assert first.held_back.equal(second.held_back)


def test_another_seed_cuts_other_classes_and_keeps_other_examples():
    tails = [cut([60] * 6, seed=seed, shots=[4])[0] for seed in range(8)]
    assert len({tuple(tail.cut.tolist()) for tail in tails}) > 1
    assert len({tuple(tail.kept.tolist()) for tail in tails}) == 8


@pytest.mark.parametrize(
    ("smallest", "expected"),
    [
        (1, {1, 2, 4, 8, 16}),
        (2, {2, 4, 8, 16}),
        (3, {2, 4, 8, 16}),
        (4, {4, 8, 16}),
        (5, {4, 8, 16}),
        (16, {16}),
        (31, {16}),
        (90, {16}),
    ],
)
def test_default_shots_are_powers_of_two_from_the_smallest_class_on(smallest, expected):
    tail, kept, _ = cut([100] * 12 + [smallest], cut_fraction=0.6)
    assert {kept[c] for c in tail.cut.nonzero().flatten()} == expected


def test_default_shots_leave_two_thirds_of_the_second_largest_class():
    sizes = set()
    for seed in range(20):
        tail, kept, _ = cut([500, 24, 24, 24, 1], cut_fraction=0.99, seed=seed)
        dealt = [kept[c] for c in tail.cut.nonzero().flatten()]
        assert len(set(dealt)) == len(dealt) == 3
        sizes |= set(dealt)
    # Fewer cut classes than shots: each of the shots has its turn.
    assert sizes == {1, 2, 4, 8}


def test_the_cut_classes_are_spread_over_the_sizes():
    counts = [100 + 7 * ((5 * i) % 12) for i in range(12)]
    by_size = sorted(range(12), key=counts.__getitem__)
    seen = set()
    for seed in range(40):
        tail, _, _ = cut(counts, seed=seed, shots=[2], cut_fraction=1 / 3)
        ranks = sorted(by_size.index(c) for c in tail.cut.nonzero().flatten())
        assert [rank // 3 for rank in ranks] == [0, 1, 2, 3]
        seen |= set(ranks)
    assert seen == set(range(12))


@given(many_counts, st.integers(0, 2**16), st.floats(0.05, 0.95))
def test_as_many_tail_classes_are_left_out_as_are_cut(counts, seed, fraction):
    assume(sorted(counts)[-2] >= 3)
    tail, kept, _ = cut(counts, seed=seed, cut_fraction=fraction)
    n_tail = head_of(counts).count(False)
    assert kept.count(0) == min(int(tail.cut.sum()), n_tail)


def test_the_classes_left_out_are_spread_over_the_sizes():
    counts = [100] * 6 + [2, 16, 9, 3, 17, 8]
    by_size = [2, 3, 8, 9, 16, 17]
    seen = set()
    for seed in range(30):
        _, kept, _ = cut(counts, seed=seed, shots=[1], cut_fraction=0.5)
        ranks = [by_size.index(n) for n, k in zip(counts, kept, strict=True) if not k]
        assert [rank // 2 for rank in sorted(ranks)] == [0, 1, 2]
        seen |= set(ranks)
    assert seen == set(range(6))


def test_shots_are_dealt_at_random():
    dealt = set()
    for seed in range(20):
        tail, kept, _ = cut([90] * 4, seed=seed, shots=[3, 9], cut_fraction=0.5)
        dealt.add(tuple(kept[c] for c in tail.cut.nonzero().flatten()))
    assert dealt == {(3, 9), (9, 3)}


def test_repeated_and_unsorted_shots_are_as_sorted_ones():
    once, twice = (cut([90] * 8, shots=shots)[0] for shots in ([2, 5], (5, 2, 2)))
    assert once.kept.equal(twice.kept)


def test_twenty_is_head_and_nineteen_is_not():
    for seed in range(20):
        tail, kept, held = cut([19, 19, 20, 20], seed=seed, shots=[1])
        assert sorted(kept[:2]) == [0, 19]
        assert sorted(kept[2:]) == [1, 16]
        assert (held[:2], sorted(held[2:])) == ([0, 0], [4, 19])
        assert not tail.cut[:2].any()


@pytest.mark.parametrize("counts", [[19, 18, 9, 6], [500, 19, 9, 6]])
def test_without_two_classes_of_twenty_all_count_as_head(counts):
    was_cut = torch.zeros(4, dtype=torch.bool)
    for seed in range(40):
        tail, _, held = cut(counts, seed=seed, shots=[2])
        was_cut |= tail.cut
        assert all(held)
    assert was_cut.all()


def test_three_examples_for_each_that_is_left_are_enough():
    for seed in range(10):
        assert cut([60, 30, 29], seed=seed, shots=[10])[0].cut.tolist()[2] is False
    assert int(cut([30, 30], shots=[10])[0].cut.sum()) == 1


def test_another_fraction_is_held_back():
    tail, kept, held = cut([100, 60, 60], shots=[5], held_fraction=0.5)
    uncut = (~tail.cut).nonzero().flatten().tolist()
    assert all(kept[c] == held[c] for c in uncut)


@given(many_counts, st.integers(0, 2**16), st.integers(12, 400))
def test_max_held_back_is_one_cap_for_every_class(counts, seed, most):
    assume(sorted(counts)[-2] >= 3)
    free, kept, all_held = cut(counts, seed=seed)
    tail, capped_kept, held = cut(counts, seed=seed, max_held_back=most)
    assert capped_kept == kept
    assert tail.kept.equal(free.kept)
    assert sum(held) <= most
    cap = max(held)
    assert held == [min(n, cap) for n in all_held]
    if held != all_held:  # one more of every class would be too many
        assert sum(min(n, cap + 1) for n in all_held) > most


def test_every_scored_class_has_an_example_whatever_the_cap():
    _, _, held = cut([50, 50, 50, 3], shots=[1], max_held_back=1)
    assert held == [1, 1, 1, 0]


@pytest.mark.parametrize("shots", [[0], [4, 0], [-1, 3], []])
def test_refuses_shots_below_one(shots):
    with pytest.raises(ValueError, match="shots must be integers of at least 1; got"):
        cut([50, 50], shots=shots)


def test_refuses_data_with_too_few_classes_to_cut():
    with pytest.raises(ValueError, match=r"least 30 examples, .* there are 1. Pass"):
        cut([50, 29, 5], shots=[10])
    with pytest.raises(ValueError, match=r"least 3 examples, .* there are 0. Pass"):
        cut([2, 2, 1])
