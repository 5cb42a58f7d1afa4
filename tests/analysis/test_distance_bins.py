import numpy as np
import pytest
import scipy.stats
import torch

from headtail.analysis import bin_by_distance


def drawn(n_classes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(n_classes), rng.normal(size=n_classes)


@pytest.mark.parametrize("n_bins", [1, 3, 10])
@pytest.mark.parametrize("n_classes", [11, 30, 257])
def test_bins_are_consecutive_classes_by_distance(n_classes, n_bins):
    distances, gains = drawn(n_classes)
    result = bin_by_distance(distances, gains, n_bins)
    pairs = sorted(zip(distances.tolist(), gains.tolist(), strict=True))
    assert result.n.sum() == n_classes
    assert np.ptp(result.n) <= 1
    assert len(result.n) == n_bins
    start = 0
    for k, size in enumerate(result.n.tolist()):
        far, gained = zip(*pairs[start : start + size], strict=True)
        start += size
        assert result.distance[k] == pytest.approx(sum(far) / size)
        assert result.gain[k] == pytest.approx(sum(gained) / size)
        if size > 1:
            assert result.error[k] == pytest.approx(scipy.stats.sem(gained))


def test_bins_of_one_class_have_no_error():
    result = bin_by_distance([0.3, 0.1, 0.2], [3.0, 1.0, 2.0], n_bins=2)
    assert result.n.tolist() == [2, 1]
    np.testing.assert_allclose(result.distance, [0.15, 0.3])
    np.testing.assert_allclose(result.gain, [1.5, 3])
    np.testing.assert_allclose(result.error, [0.5, np.nan])


def test_fewer_classes_than_bins_are_bins_of_their_own():
    result = bin_by_distance([0.5, 0.2], [1.0, -1.0])
    assert result.distance.tolist() == [0.2, 0.5]
    assert result.gain.tolist() == [-1, 1]
    assert result.n.tolist() == [1, 1]
    assert np.isnan(result.error).all()


def test_ten_bins_unless_asked_otherwise():
    assert bin_by_distance(*drawn(100)).n.tolist() == [10] * 10


def test_the_order_of_the_classes_changes_nothing():
    distances, gains = drawn(23)
    once = bin_by_distance(distances, gains, 4)
    order = np.random.default_rng(1).permutation(23)
    again = bin_by_distance(distances[order], gains[order], 4)
    np.testing.assert_allclose(once.gain, again.gain)
    np.testing.assert_allclose(once.error, again.error)


def test_what_is_unknown_is_left_out():
    distances, gains = drawn(20)
    once = bin_by_distance(distances, gains, 3)
    strange = np.r_[np.nan, distances, 0.5, np.nan], np.r_[0.1, gains, np.nan, np.nan]
    again = bin_by_distance(*strange, 3)
    np.testing.assert_array_equal(once.gain, again.gain)
    np.testing.assert_array_equal(once.n, again.n)


@pytest.mark.parametrize("distances", [[], [np.nan, np.nan]])
def test_without_a_class_there_is_no_bin(distances):
    result = bin_by_distance(distances, distances)
    for values in (result.distance, result.gain, result.error, result.n):
        assert values.shape == (0,)


def test_equal_distances_stay_in_the_order_given():
    result = bin_by_distance([1.0, 1.0, 1.0, 1.0], [4.0, 3.0, 2.0, 1.0], n_bins=2)
    assert result.gain.tolist() == [3.5, 1.5]
    gains = np.arange(40.0)
    result = bin_by_distance(np.where(gains % 3, 1.0, 2.0), gains, n_bins=40)
    assert result.gain.tolist() == sorted(gains, key=lambda gain: gain % 3 == 0)


def test_tensors_and_read_only_arrays_are_taken():
    distances, gains = drawn(20)
    once = bin_by_distance(distances, gains)
    distances.setflags(write=False)
    again = bin_by_distance(distances, torch.from_numpy(gains))
    np.testing.assert_array_equal(once.gain, again.gain)


@pytest.mark.parametrize(
    ("distances", "gains", "match"),
    [
        ([1.0, 2.0], [1.0], r"two arrays of one length; got shapes \[2\] and \[1\]"),
        ([[1.0]], [[1.0]], r"got shapes \[1, 1\] and \[1, 1\]"),
        (1.0, 1.0, r"got shapes \[\] and \[\]"),
    ],
)
def test_two_lists_of_one_length_are_needed(distances, gains, match):
    with pytest.raises(ValueError, match=match):
        bin_by_distance(distances, gains)


def test_there_is_at_least_one_bin():
    with pytest.raises(ValueError, match=r"n_bins must be at least 1; got 0\."):
        bin_by_distance([1.0], [1.0], n_bins=0)
