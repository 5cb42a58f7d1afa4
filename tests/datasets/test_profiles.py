import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtail.datasets import exponential_counts, subsample


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
