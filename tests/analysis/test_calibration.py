import numpy as np
import pytest
import scipy.stats
from sklearn.calibration import calibration_curve

from headtail.analysis import reliability
from headtail.evaluation import evaluate
from headtail.statistics import shot_groups

COUNTS = np.array([19, 101, 20, 100, 3, 500])
GROUPS = shot_groups(COUNTS)


def drawn(n_samples=400, n_classes=6, seed=0):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(n_classes, 0.3), size=n_samples)
    positions = rng.integers(n_classes, size=n_samples)
    return positions, proba


def hits_of(positions, proba):
    """Return (confidence, right) of every example."""
    tops = [max(range(len(row)), key=row.__getitem__) for row in proba.tolist()]
    return [
        (float(row[top]), top == true)
        for row, top, true in zip(proba, tops, positions, strict=True)
    ]


@pytest.mark.parametrize("n_bins", [1, 4, 15])
def test_bins_are_those_of_plain_loops(n_bins):
    positions, proba = drawn()
    result = reliability(positions, proba, GROUPS, n_bins=n_bins)
    examples = hits_of(positions, proba)
    members = {
        "all": [0, 1, 2, 3, 4, 5],
        "many": [1, 5],
        "medium": [2, 3],
        "few": [0, 4],
    }
    assert result.groups == tuple(members)
    np.testing.assert_allclose(result.edges, [k / n_bins for k in range(n_bins + 1)])
    for row, name in enumerate(members):
        answers = proba.argmax(axis=1)
        kept = [e for e, c in zip(examples, answers, strict=True) if c in members[name]]
        for k in range(n_bins):
            low, high = result.edges[k : k + 2]
            inside = [e for e in kept if low < e[0] <= high]
            n = len(inside)
            means = np.mean(inside, axis=0) if n else [np.nan, np.nan]
            assert result.n[row, k] == n
            np.testing.assert_allclose(result.confidence[row, k], means[0])
            np.testing.assert_allclose(result.accuracy[row, k], means[1])
        gaps = [confidence - right for confidence, right in kept]
        np.testing.assert_allclose(result.gap[row], sum(gaps) / len(gaps))
        np.testing.assert_allclose(result.gap_error[row], scipy.stats.sem(gaps))


@pytest.mark.parametrize("n_bins", [5, 15])
def test_all_examples_are_as_in_scikit_learn(n_bins):
    positions, proba = drawn(seed=1)
    result = reliability(positions, proba, GROUPS, n_bins=n_bins)
    confidence, right = zip(*hits_of(positions, proba), strict=True)
    accuracy, mean = calibration_curve(right, confidence, n_bins=n_bins)
    filled = result.n[0] > 0
    np.testing.assert_allclose(result.accuracy[0, filled], accuracy)
    np.testing.assert_allclose(result.confidence[0, filled], mean)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_its_gaps_sum_to_the_expected_calibration_error(dtype):
    positions, proba = drawn(seed=2)
    proba = proba.astype(dtype)
    result = reliability(positions, proba, GROUPS)
    gaps = np.abs(result.confidence[0] - result.accuracy[0])
    error = np.nansum(gaps * result.n[0]) / len(positions)
    # The probabilities of float16 sum to 1 within what `evaluate` allows.
    figures = evaluate(positions, proba, COUNTS, n_replicates=0).figures
    assert error == pytest.approx(figures["expected_calibration_error"].value)


def test_groups_are_parts_of_all():
    positions, proba = drawn(seed=3)
    result = reliability(positions, proba, GROUPS)
    np.testing.assert_array_equal(result.n[1:].sum(axis=0), result.n[0])
    assert result.n[0].sum() == len(positions)
    sizes = result.n.sum(axis=1)
    assert sizes[1:] @ result.gap[1:] / sizes[0] == pytest.approx(result.gap[0])


def test_permuting_classes_changes_nothing():
    positions, proba = drawn(seed=4)
    once = reliability(positions, proba, GROUPS)
    order = np.array([3, 0, 5, 1, 4, 2])
    again = reliability(
        np.argsort(order)[positions], proba[:, order], shot_groups(COUNTS[order])
    )
    np.testing.assert_array_equal(once.n, again.n)
    np.testing.assert_allclose(once.confidence, again.confidence)
    np.testing.assert_allclose(once.accuracy, again.accuracy)
    np.testing.assert_allclose(once.gap, again.gap)


def test_a_sure_and_wrong_classifier_is_overconfident():
    proba = np.tile([0.8, 0.2], (4, 1))
    result = reliability(np.array([1, 1, 1, 1]), proba, shot_groups([200, 2]))
    np.testing.assert_allclose(result.gap, [0.8, 0.8, np.nan, np.nan])
    np.testing.assert_allclose(result.gap_error[[0, 1]], 0, atol=1e-12)


@pytest.mark.parametrize("k", range(8, 16))
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(k):
    top = k / 15
    result = reliability(np.array([0]), np.array([[top, 1 - top]]), shot_groups([9, 9]))
    assert result.n[0].tolist() == [int(j == k - 1) for j in range(15)]
    assert result.edges[k] == pytest.approx(top)


def test_half_precision_is_measured_in_full():
    top = np.float16(0.6)  # a little more than the edge at 9 / 15
    proba = np.array([[top, 1 - top]])
    assert proba.dtype == np.float16
    result = reliability(np.array([0]), proba, shot_groups([9, 9]))
    assert result.n[0].tolist() == [int(j == 9) for j in range(15)]


def test_confidences_a_little_above_one_stay_in_the_last_bin():
    proba = np.array([[1 + 1e-7, 0.0]])
    result = reliability(np.array([0]), proba, shot_groups([9, 9]), n_bins=3)
    assert result.n[0].tolist() == [0, 0, 1]


def test_a_group_without_examples_has_no_numbers():
    result = reliability(np.array([0, 1]), np.eye(3)[[0, 0]], shot_groups([101, 50, 9]))
    assert result.n.sum(axis=1).tolist() == [2, 2, 0, 0]
    assert np.isnan(result.confidence[2:]).all()
    assert np.isnan(result.accuracy[2:]).all()
    assert np.isnan(result.gap).tolist() == [False, False, True, True]
    assert np.isnan(result.gap_error).tolist() == [False, False, True, True]


def test_one_example_has_a_gap_and_no_error():
    result = reliability(np.array([1]), np.array([[0.3, 0.7]]), shot_groups([9, 200]))
    np.testing.assert_allclose(result.gap, [-0.3, -0.3, np.nan, np.nan])
    assert np.isnan(result.gap_error).all()
    assert np.isnan(result.confidence).sum() == 4 * 15 - 2


def test_no_example_at_all_has_no_numbers():
    result = reliability(np.array([], int), np.empty((0, 6)), GROUPS)
    assert result.n.sum() == 0
    assert np.isnan(result.gap).all()


def test_two_bins_of_one_class_are_taken():
    result = reliability(np.array([0, 0]), np.ones((2, 1)), shot_groups([9]), n_bins=2)
    assert result.n.tolist() == [[0, 2], [0, 0], [0, 0], [0, 2]]


def test_read_only_arrays_and_maps_are_taken(tmp_path):
    positions, proba = drawn(50)
    once = reliability(positions, proba, GROUPS)
    np.save(tmp_path / "proba.npy", proba)
    positions.setflags(write=False)
    again = reliability(
        positions, np.load(tmp_path / "proba.npy", mmap_mode="r"), GROUPS
    )
    np.testing.assert_array_equal(once.confidence, again.confidence)
    np.testing.assert_array_equal(once.gap, again.gap)


def test_there_is_at_least_one_bin():
    with pytest.raises(ValueError, match=r"n_bins must be at least 1; got 0\."):
        reliability(*drawn(), GROUPS, n_bins=0)


@pytest.mark.parametrize("sizes", [(400, 400), (2000, 100)])
def test_perfect_probabilities_look_right_in_every_group(sizes):
    """Their errors depend on the class, which by the true class would look wrong."""
    rng = np.random.default_rng(0)
    positions = np.repeat([0, 1], sizes)
    x = rng.normal(loc=2 * positions, scale=1 + positions)
    density = [scipy.stats.norm.pdf(x, 0, 1), scipy.stats.norm.pdf(x, 2, 2)]
    joint = np.stack(density, axis=1) * sizes
    proba = joint / joint.sum(axis=1, keepdims=True)
    result = reliability(positions, proba, shot_groups([200, 2]))
    known = np.isfinite(result.gap)
    assert known.tolist() == [True, True, False, True]
    assert (np.abs(result.gap[known]) < 3 * result.gap_error[known]).all()
