import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance

from headtail.statistics import ClassStatistics, WithinClassScatter
from headtail.statistics import within_class_scatter as module
from tests.statistics.scatters import SEEDS, assert_same, fitted, long_tail, problems


def residuals(X, y):
    """Take the mean of its class from every row, in float64."""
    X = np.asarray(X, dtype=np.float64)
    return np.stack([x - X[y == c].mean(axis=0) for x, c in zip(X, y, strict=True)])


def by_loops(X, y):
    """Pool the products of the residuals, one pair of features at a time."""
    rows, n_features = residuals(X, y), X.shape[1]
    freedom = len(X) - len(set(y.tolist()))
    total = [
        [math.fsum(row[i] * row[j] for row in rows) for j in range(n_features)]
        for i in range(n_features)
    ]
    return np.array(total) / freedom if freedom else np.zeros_like(total), freedom


@given(problems())
def test_covariance_matches_loops(problem):
    X, y, n_classes = problem
    scatter = fitted(*problem)
    expected, freedom = by_loops(X, y)
    assert scatter.degrees_of_freedom == freedom
    assert scatter.class_counts.tolist() == np.bincount(y, minlength=n_classes).tolist()
    np.testing.assert_allclose(scatter.covariance, expected, rtol=1e-9, atol=1e-9)
    assert scatter.covariance.equal(scatter.covariance.T)
    assert (scatter.covariance.diagonal() >= 0).all()


def test_covariance_is_that_of_scikit_learn_but_unbiased():
    X, y, n_classes = long_tail()
    plain = EmpiricalCovariance(assume_centered=True).fit(residuals(X, y))
    unbiased = plain.covariance_ * len(X) / (len(X) - n_classes)
    np.testing.assert_allclose(fitted(X, y, n_classes).covariance, unbiased)


def test_one_class_has_the_covariance_of_numpy():
    X = long_tail()[0]
    scatter = fitted(X, np.zeros(len(X), dtype=int), 1)
    np.testing.assert_allclose(scatter.covariance, np.cov(X.T))


def test_means_are_those_of_the_class_statistics():
    X, y, n_classes = long_tail()
    scatter = fitted(X, y, n_classes + 1)
    expected = ClassStatistics(n_classes + 1, 4).update(X, y)
    torch.testing.assert_close(scatter.means, expected.means, equal_nan=True)
    assert scatter.means[-1].isnan().all()


@given(problems(), SEEDS, st.integers(1, 6))
def test_order_of_rows_and_updates_changes_nothing(problem, seed, n_parts):
    X, y, n_classes = problem
    order = np.random.default_rng(seed).permutation(len(X))
    parts = WithinClassScatter(n_classes, X.shape[1])
    for rows in np.array_split(order, n_parts):
        assert parts.update(X[rows], y[rows]) is parts
    assert_same(parts, fitted(*problem))


@given(problems(), SEEDS)
def test_order_of_classes_does_not_matter_to_the_covariance(problem, seed):
    X, y, n_classes = problem
    places = np.random.default_rng(seed).permutation(n_classes)
    permuted, scatter = fitted(X, places[y], n_classes), fitted(*problem)
    assert permuted.class_counts[places].equal(scatter.class_counts)
    torch.testing.assert_close(permuted.covariance, scatter.covariance)


@given(problems(), SEEDS)
def test_moving_classes_as_a_whole_changes_no_covariance(problem, seed):
    X, y, n_classes = problem
    moves = np.random.default_rng(seed).normal(size=(n_classes, X.shape[1]))
    moved = fitted(X + 10 * moves[y], y, n_classes)
    np.testing.assert_allclose(
        moved.covariance, fitted(*problem).covariance, rtol=1e-8, atol=1e-8
    )


@given(problems(), st.floats(-1e3, 1e3))
def test_a_feature_that_is_constant_has_no_variance(problem, constant):
    X, y, n_classes = problem
    scatter = fitted(np.c_[X, np.full(len(X), constant)], y, n_classes)
    variances = scatter.covariance.diagonal()
    assert (variances >= 0).all()
    assert variances[-1] <= 1e-20 * constant**2


@given(problems(), st.integers(1, 9))
def test_the_size_of_blocks_changes_nothing(problem, rows):
    expected = fitted(*problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS_AT_ONCE", rows)
        assert_same(fitted(*problem), expected)


@given(problems(), SEEDS)
def test_single_examples_of_a_class_tell_nothing_of_the_covariance(problem, seed):
    X, y, n_classes = problem
    more = np.random.default_rng(seed).normal(scale=9, size=(2, X.shape[1]))
    scatter = fitted(X, y, n_classes + 2)
    before = scatter.covariance
    scatter.update(more, [n_classes, n_classes + 1])
    torch.testing.assert_close(scatter.covariance, before, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("apart", [1e2, 1e3])
def test_classes_that_lie_far_apart_lose_no_digits_in_float32(apart):
    X, y, n_classes = long_tail()
    X = (X + apart * np.eye(4)[y % 4]).astype(np.float32)
    expected = WithinClassScatter(n_classes, 4).update(X.astype(np.float64), y)
    scatter = WithinClassScatter(n_classes, 4)
    for rows in (slice(150), slice(150, None)):
        scatter.update(X[rows], y[rows])
    torch.testing.assert_close(
        scatter.covariance, expected.covariance, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("size", [1e-30, 1e25])
def test_squares_that_float32_cannot_hold_are_taken_in_float64(size):
    X, y, n_classes = long_tail()
    small = fitted(X, y, n_classes).covariance
    scaled = WithinClassScatter(n_classes, 4).update((size * X).astype(np.float32), y)
    torch.testing.assert_close(scaled.covariance / size**2, small, rtol=1e-4, atol=1e-4)


@given(problems(), st.integers(0, 40))
def test_with_normalize_it_is_the_scatter_of_unit_features(problem, cut):
    X, y, n_classes = problem
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    units = X / np.where(norms > 0, norms, 1)
    scatter = WithinClassScatter(n_classes, X.shape[1], normalize=True)
    for rows in (slice(cut), slice(cut, None)):
        scatter.update(X[rows], y[rows])
    scatter.forget(X[:cut], y[:cut])
    assert_same(scatter, fitted(units[cut:], y[cut:], n_classes))
    copy = scatter.copy().update(X, y)
    expected = fitted(units[cut:], y[cut:], n_classes).update(units, y)
    assert_same(copy, expected)
    assert copy.normalize
