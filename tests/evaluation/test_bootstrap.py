import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from headtail import evaluate
from headtail.evaluation import bootstrap
from headtail.evaluation.bootstrap import interval, resampled_weights
from headtail.evaluation.metrics import FIGURES


def drawn(positions, n_replicates, seed=0):
    return np.concatenate([*resampled_weights(positions, n_replicates, seed)])


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40).map(np.array),
    st.integers(0, 1000),
)
def test_every_replicate_draws_as_many_of_each_class_as_there_are(positions, seed):
    weights = drawn(positions, 8, seed)
    assert weights.shape == (8, len(positions))
    for label in np.unique(positions):
        mine = positions == label
        assert (weights[:, mine].sum(axis=1) == mine.sum()).all()


def test_every_example_is_drawn_once_on_average():
    positions = np.array([2, 0, 2, 2, 0, 4, 2, 0, 2])
    weights = drawn(positions, 4000)
    # Standard error below 1 / sqrt(4000) = 0.016; five of those.
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.08)
    n = np.bincount(positions)[positions]
    np.testing.assert_allclose(weights.var(axis=0), 1 - 1 / n, atol=0.15)


def test_the_size_of_the_blocks_changes_no_draw(monkeypatch):
    positions = np.array([1, 0, 1, 1, 2, 0])
    whole = drawn(positions, 7)
    monkeypatch.setattr(bootstrap, "_BLOCK_NUMBERS", 2 * len(positions))
    blocks = list(resampled_weights(positions, 7, 0))
    assert [len(block) for block in blocks] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def binary_problem(n=200, hits=140):
    """One class of 200 with recall 0.7, many-shot, and a few-shot one of 3."""
    y_true = np.repeat([0, 1], [n, 3])
    proba = np.eye(2)[y_true]
    proba[hits:n] = [0, 1]
    return y_true, proba, [500, 5]


def test_replicates_of_a_recall_are_binomial():
    result = evaluate(*binary_problem(), n_replicates=4000)
    recalls = result.replicates[:, FIGURES.index("many")]
    exact = binom(200, 0.7)
    deviation = exact.std() / 200
    # Four standard errors: of the mean deviation / sqrt(4000), of the standard
    # deviation a share 1 / sqrt(2 * 4000).
    assert recalls.mean() == pytest.approx(0.7, abs=4 * deviation / np.sqrt(4000))
    assert recalls.std() == pytest.approx(deviation, rel=4 / np.sqrt(8000))
    assert result["many"].low == pytest.approx(exact.ppf(0.025) / 200, abs=1.5 / 200)
    assert result["many"].high == pytest.approx(exact.ppf(0.975) / 200, abs=1.5 / 200)


def test_a_class_that_is_always_right_has_an_interval_without_width():
    few = evaluate(*binary_problem(), n_replicates=50)["few"]
    assert (few.value, few.low, few.high) == (1, 1, 1)


def imbalanced_problem():
    rng = np.random.default_rng(3)
    y_true = rng.permutation(np.repeat([0, 1, 3], [20, 9, 4]))
    proba = rng.dirichlet(np.ones(4), len(y_true))
    proba = (3 * proba + np.eye(4)[y_true]) / 4
    return y_true, proba, [400, 50, 50, 4]


def test_same_seed_same_replicates_and_another_seed_others():
    problem = imbalanced_problem()
    first, same, other = (
        evaluate(*problem, n_replicates=20, seed=seed).replicates for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_fewer_replicates_are_the_first_of_more():
    problem = imbalanced_problem()
    few = evaluate(*problem, n_replicates=5).replicates
    many = evaluate(*problem, n_replicates=9).replicates
    np.testing.assert_array_equal(few, many[:5])


def test_replicates_are_the_figures_of_the_resampled_test_set():
    y_true, proba, counts = imbalanced_problem()
    result = evaluate(y_true, proba, counts, n_replicates=12, seed=4)
    slow = []
    for weights in drawn(y_true, 12, seed=4):
        rows = np.repeat(np.arange(len(y_true)), weights.astype(int))
        again = evaluate(y_true[rows], proba[rows], counts, n_replicates=0)
        slow.append([again[name].value for name in FIGURES])
    assert result.replicates.shape == (12, len(FIGURES))
    assert np.ptp(result.replicates[:, 0]) > 0
    np.testing.assert_allclose(result.replicates, slow)


def test_interval_is_that_of_percentiles_per_column():
    columns = np.stack([np.arange(101.0), 10 * np.arange(101.0)], axis=1)
    np.testing.assert_allclose(interval(columns), [[2.5, 97.5], [25, 975]])
    np.testing.assert_allclose(interval(columns, 0.5), [[25, 75], [250, 750]])


def test_interval_of_no_replicates_is_undefined():
    ends = interval(np.empty((0, 3)))
    assert ends.shape == (3, 2)
    assert np.isnan(ends).all()
