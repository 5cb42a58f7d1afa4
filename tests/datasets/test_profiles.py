import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from headtail.datasets.profiles import (
    exponential_counts,
    imbalance_ratio,
    natural_counts,
    pareto_counts,
    step_counts,
    subsample,
    sun_split,
)

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "protocols"
needs_published_lists = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the published lists are not beside the project"
)


@pytest.mark.parametrize(
    ("n_classes", "largest", "ratio", "total"),
    [
        (100, 500, 10, 19_573),
        (100, 500, 50, 12_608),
        (100, 500, 100, 10_847),
        (10, 5000, 100, 12_406),
    ],
)
def test_counts_sum_to_the_published_sizes_of_cifar_lt(
    n_classes, largest, ratio, total
):
    assert exponential_counts(n_classes, largest, ratio).sum() == total


@given(st.integers(2, 50), st.integers(1, 2000), st.floats(1, 1000))
def test_counts_fall_from_the_largest_to_its_share_and_are_never_0(
    n_classes, largest, ratio
):
    counts = exponential_counts(n_classes, largest, ratio)
    assert len(counts) == n_classes
    assert counts[0] == largest
    assert counts[-1] == pytest.approx(max(largest / ratio, 1), abs=1)
    assert counts[-1] <= max(largest / ratio, 1) * (1 + 1e-9)
    assert (np.diff(counts) <= 0).all()
    assert counts.min() >= 1


def test_a_ratio_of_one_is_balanced():
    assert exponential_counts(4, 7, 1).tolist() == [7, 7, 7, 7]


@pytest.mark.parametrize("ratio", [2, 3, 5, 10, 40, 49, 100, 1000])
def test_the_smallest_count_is_exact_where_the_ratio_divides_the_largest(ratio):
    assert exponential_counts(10, 6 * ratio, ratio)[-1] == 6


@pytest.mark.parametrize("arguments", [(1, 10, 2), (3, 0, 2), (3, 10, 0.5)])
def test_profiles_that_do_not_fall_are_refused(arguments):
    with pytest.raises(ValueError, match=f"got {arguments[0]}, {arguments[1]} and"):
        exponential_counts(*arguments)


@st.composite
def cuts(draw):
    """Shuffled labels, and how many of each class to draw."""
    have = draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    counts = [draw(st.integers(0, n)) for n in have]
    labels = np.repeat(np.arange(len(have)), have)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return rng.permutation(labels), counts


@given(cuts(), st.integers(0, 1000))
def test_the_drawn_have_the_counts_and_with_the_rest_are_everything(cut, seed):
    labels, counts = cut
    drawn, rest = subsample(labels, counts, seed)
    assert np.bincount(labels[drawn], minlength=len(counts)).tolist() == counts
    assert sorted([*drawn, *rest]) == list(range(len(labels)))
    assert (np.diff(drawn) > 0).all()
    assert (np.diff(rest) > 0).all()


def test_same_seed_same_draw_and_another_seed_another():
    labels = np.tile([0, 1], 50)
    first, same, other = (subsample(labels, [20, 20], seed)[0] for seed in (1, 1, 2))
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()


def test_every_example_of_a_class_is_drawn_equally_often():
    labels = np.array([1, 0, 1, 1, 0, 1])
    drawn = np.zeros(len(labels))
    for seed in range(600):
        drawn[subsample(labels, [1, 1], seed)[0]] += 1
    # Standard error below 0.5 / sqrt(600) = 0.02; five of those.
    np.testing.assert_allclose(drawn[labels == 0] / 600, 1 / 2, atol=0.1)
    np.testing.assert_allclose(drawn[labels == 1] / 600, 1 / 4, atol=0.1)


def test_too_few_examples_are_refused_with_the_classes_that_lack_them():
    with pytest.raises(ValueError, match=r"classes \[1, 2\] have too few"):
        subsample(np.array([0, 0, 1]), [1, 2, 1], 0)


def test_labels_without_a_count_are_refused():
    with pytest.raises(ValueError, match="labels go to 2, counts to 1"):
        subsample(np.array([0, 1, 2]), [1, 1], 0)


def test_the_imbalance_ratio_is_largest_by_smallest():
    assert imbalance_ratio([3, 300, 30]) == 100
    assert imbalance_ratio(np.array([7])) == 1
    assert imbalance_ratio(exponential_counts(100, 500, 100)) == 100


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([5, 0, 2, 0], r"classes \[1, 3\] have no example"),
        ([5, -2], r"must be at least 0; got \[-2\]"),
        ([], r"of at least one class; got float64 of shape \[0\]"),
        ([1.5, 2.0], "must be integers .* got float64"),
        ([[1, 2]], r"got int64 of shape \[1, 2\]"),
    ],
)
def test_counts_that_have_no_ratio_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        imbalance_ratio(counts)


@given(st.integers(2, 50), st.integers(1, 2000), st.floats(1, 1000), st.data())
def test_a_step_has_two_levels(n_classes, largest, ratio, data):
    n_tail = data.draw(st.none() | st.integers(0, n_classes))
    counts = step_counts(n_classes, largest, ratio, n_tail=n_tail).tolist()
    tail = n_classes // 2 if n_tail is None else n_tail
    low = exponential_counts(2, largest, ratio)[-1]
    assert counts == [largest] * (n_classes - tail) + [low] * tail


def test_a_tail_of_more_than_all_classes_is_refused():
    with pytest.raises(ValueError, match=r"in 0 … 4, the number of classes; got 5"):
        step_counts(4, 10, 2, n_tail=5)
    with pytest.raises(ValueError, match="got 4, 10 and nan"):
        step_counts(4, 10, float("nan"))


def quantile_counts(n_classes, largest, smallest, power):
    """Upper quantiles of SciPy's Pareto distribution, stretched to both ends."""
    tail = [(c + 1) / (n_classes + 1) for c in range(n_classes)]
    values = [scipy.stats.pareto(power).isf(p) for p in tail]
    stretch = (largest - smallest) / (values[0] - values[-1])
    return [smallest + stretch * (value - values[-1]) for value in values]


@pytest.mark.parametrize("power", [0.5, 1.34, 6, 100])
def test_pareto_counts_are_the_quantiles_of_the_distribution(power):
    counts = pareto_counts(40, 900, 3, power=power)
    # Rounded down; a count may lie a rounding error below an integer.
    expected = np.array(quantile_counts(40, 900, 3, power))
    assert (counts <= expected + 1e-6).all()
    assert (counts > expected - 1 - 1e-6).all()


@given(
    st.integers(2, 60), st.integers(1, 2000), st.integers(0, 5000), st.floats(0.05, 1e6)
)
def test_pareto_counts_fall_from_the_largest_to_the_smallest(n, smallest, more, power):
    counts = pareto_counts(n, smallest + more, smallest, power=power)
    assert (counts[0], counts[-1], len(counts)) == (smallest + more, smallest, n)
    assert (np.diff(counts) <= 0).all()
    heavier = pareto_counts(n, smallest + more, smallest, power=power / 2)
    assert (heavier <= counts).all()


def test_a_huge_power_is_the_exponential_distribution():
    # Its quantiles fall with log(c + 1).
    expected = 1000 - 990 * np.log(np.arange(1, 21)) / np.log(20)
    counts = pareto_counts(20, 1000, 10, power=1e12)
    np.testing.assert_allclose(counts, expected, atol=1)


@pytest.mark.parametrize(
    ("arguments", "power", "message"),
    [
        ((1, 9, 1), 6, "got n_classes=1, smallest=1, largest=9"),
        ((4, 9, 0), 6, "got n_classes=4, smallest=0, largest=9"),
        ((4, 9, 10), 6, "got n_classes=4, smallest=10, largest=9"),
        ((4, 9, 1), 0, "power must be positive and finite; got 0"),
        ((4, 9, 1), float("inf"), "power must be positive and finite; got inf"),
    ],
)
def test_pareto_profiles_that_do_not_fall_are_refused(arguments, power, message):
    with pytest.raises(ValueError, match=message):
        pareto_counts(*arguments, power=power)


@needs_published_lists
@pytest.mark.parametrize(
    ("file", "arguments", "power", "total", "median"),
    [
        ("ImageNet_LT_train_class_counts.json", (1000, 1280, 5), 6, 121_449, 76.5),
        ("Places_LT_train_class_counts.json", (365, 4980, 5), 1.5, 61_814, 63),
    ],
)
def test_pareto_counts_are_near_the_published_ones(
    file, arguments, power, total, median
):
    published = np.sort(json.loads((PUBLISHED / file).read_text()))[::-1]
    counts = pareto_counts(*arguments, power=power)
    assert (len(counts), counts[0], counts[-1]) == arguments
    assert (len(published), published[0], published[-1]) == arguments
    assert (counts.sum(), np.median(counts)) == (total, median)
    assert counts.sum() == pytest.approx(published.sum(), rel=0.05)
    # Rank by rank 5 to 6 % off in the mean of logarithms; one draw can be no nearer.
    off = np.abs(np.log(counts / published))
    assert off.mean() < 0.06
    # The neighbours of the power are worse.
    for other in (power - 0.5, power + 1):
        elsewhere = pareto_counts(*arguments, power=other)
        assert np.abs(np.log(elsewhere / published)).mean() > 0.03


@st.composite
def shrinkings(draw):
    counts = draw(st.lists(st.integers(0, 300), min_size=1, max_size=12))
    if not any(counts):
        counts[0] = 1
    return counts, draw(st.integers(sum(n > 0 for n in counts), sum(counts)))


@given(shrinkings())
def test_natural_counts_are_in_proportion_and_sum_to_what_is_asked(shrinking):
    counts, n_samples = shrinking
    shrunk = natural_counts(counts, n_samples)
    assert shrunk.sum() == n_samples
    assert (shrunk <= counts).all()
    assert ((shrunk > 0) == (np.array(counts) > 0)).all()
    classes = sum(n > 0 for n in counts)
    if sum(counts) > classes:
        rate = (n_samples - classes) / (sum(counts) - classes)
        exact = [1 + rate * (n - 1) if n else 0 for n in counts]
        assert np.abs(shrunk - exact).max() < 1
    falling = np.argsort(counts, kind="stable")
    assert (np.diff(shrunk[falling]) >= -1).all()


def test_natural_counts_at_both_ends():
    counts = [9, 0, 4, 1]
    assert natural_counts(counts, 14).tolist() == counts
    assert natural_counts(counts, 3).tolist() == [1, 0, 1, 1]
    assert natural_counts([1, 1], 2).tolist() == [1, 1]
    for n_samples in (2, 15):
        with pytest.raises(ValueError, match=rf"in 3 … 14, .* got {n_samples}"):
            natural_counts(counts, n_samples)


def test_the_sun_recipe_gives_the_published_ends():
    labels = np.repeat(np.arange(3), [2361, 100, 192])
    parts = sun_split(labels, 0)
    counts = [np.bincount(labels[part]).tolist() for part in parts]
    # Largest, smallest and median class of SUN-397: 1 to 1,132 (median 47) for
    # training, 1 to 227 (median 10) for validation, 40 each for testing.
    assert counts == [[1132, 1, 47], [227, 1, 10], [40, 40, 40]]


@given(st.lists(st.integers(0, 260), min_size=1, max_size=6), st.integers(0, 99))
def test_the_sun_recipe_class_by_class(have, seed):
    labels = np.random.default_rng(seed).permutation(
        np.repeat(np.arange(len(have)), have)
    )
    parts = sun_split(labels, seed)
    rows = np.concatenate(parts)
    assert len(set(rows.tolist())) == len(rows)
    for part in parts:
        assert (np.diff(part) > 0).all()
    for label, n in enumerate(have):
        train, val, test = (int((labels[part] == label).sum()) for part in parts)
        half, tenth = -(-n // 2), n // 10
        assert train == (max(1, half - 49) if n else 0)
        assert val == (max(1, tenth - 9) if tenth else 0)
        assert test == min(40, n - half - tenth)


def test_the_sun_recipe_is_random_and_repeatable():
    labels = np.repeat([0, 1], 200)
    first, same, other = (sun_split(labels, seed) for seed in (0, 0, 1))
    for mine, again, else_ in zip(first, same, other, strict=True):
        assert mine.tolist() == again.tolist()
        assert mine.tolist() != else_.tolist()
    assert [len(part) for part in sun_split(np.array([], int), 0)] == [0, 0, 0]


@pytest.mark.parametrize("labels", [[0.5, 1.0], [[0, 1]], [0, -1], ["cat"]])
def test_the_sun_recipe_wants_integers(labels):
    with pytest.raises(
        ValueError, match=r"labels must be integers .* Encode the classes"
    ):
        sun_split(labels, 0)


def test_draws_stay_those_of_earlier_versions():
    drawn, rest = subsample(np.tile([0, 1], 5), [2, 3], 7)
    assert drawn.tolist() == [0, 1, 3, 7, 8]
    assert sorted([*drawn, *rest]) == list(range(10))
