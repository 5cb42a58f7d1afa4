import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance

from headtail.statistics import ClassStatistics, WithinClassScatter
from headtail.statistics import within_class_scatter as module

SEEDS = st.integers(0, 2**31)


@st.composite
def problems(draw):
    """Features around the mean of their class; some classes are empty or single."""
    n_classes, n_features = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    n_samples = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(SEEDS))
    y = rng.integers(n_classes, size=n_samples)
    X = rng.normal(size=(n_samples, n_features)) @ rng.normal(size=[n_features] * 2)
    X += rng.normal(scale=3, size=(n_classes, n_features))[y] + draw(
        st.sampled_from([0.0, 50.0])
    )
    return X, y, n_classes


def fitted(X, y, n_classes):
    return WithinClassScatter(n_classes, X.shape[1]).update(X, y)


def long_tail(offset=0.0, dtype=np.float64):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], [300, 100, 30, 1])
    X = rng.normal(size=(len(y), 4)) * [1, 2, 3, 4] + rng.normal(size=(4, 4))[y]
    return (X + offset).astype(dtype), y, 4


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


def assert_same(first, second, rtol=1e-9):
    """Compare what may be asked of a scatter; rounding may differ."""
    assert first.class_counts.tolist() == second.class_counts.tolist()
    assert first.degrees_of_freedom == second.degrees_of_freedom
    torch.testing.assert_close(
        first.means, second.means, rtol=rtol, atol=rtol, equal_nan=True
    )
    atol = rtol * (1 + float(second.covariance.abs().max()))
    torch.testing.assert_close(first.covariance, second.covariance, rtol=0, atol=atol)


def state_of(scatter):
    kept = scatter.copy()
    sums = kept.statistics
    counts = (sums.class_counts, sums.zero_counts)
    return [*counts, sums.sums, sums.unit_sums, kept.within]


def assert_unchanged(scatter, before):
    assert all(map(torch.equal, state_of(scatter), before))


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


@given(problems(), st.integers(0, 40), st.integers(0, 40))
def test_merge_is_an_update_with_both(problem, cut, later):
    X, y, n_classes = problem
    parts = [slice(cut), slice(cut, cut + later), slice(cut + later, None)]
    first, second, third = (fitted(X[p], y[p], n_classes) for p in parts)
    second.update(X[parts[2]], y[parts[2]])
    before = state_of(second)
    assert first.merge(second) is first
    assert_same(first, fitted(*problem))
    assert_unchanged(second, before)
    # A merged scatter is as good as any: it goes on with examples of both.
    for done in parts[:2]:
        first.forget(X[done], y[done])
    assert_same(first, third)


@pytest.mark.parametrize("n_first", [0, 1, 200])
def test_merge_loses_no_digits_to_an_offset(n_first):
    X, y, n_classes = long_tail(offset=1e4)
    first, second = (
        WithinClassScatter(n_classes, 4).update(X[p], y[p])
        for p in (slice(n_first), slice(n_first, None))
    )
    expected = fitted(*long_tail()).covariance
    torch.testing.assert_close(
        first.merge(second).covariance, expected, rtol=0, atol=1e-10
    )


def test_a_scatter_merged_with_itself_has_every_example_twice():
    X, y, n_classes = long_tail(offset=50.0)
    scatter = fitted(X, y, n_classes)
    twice = fitted(np.tile(X, (2, 1)), np.tile(y, 2), n_classes)
    assert_same(scatter.merge(scatter), twice)


def test_what_an_empty_scatter_merged_is_not_shared():
    other = fitted(*long_tail())
    before = state_of(other)
    WithinClassScatter(4, 4).merge(other).update(np.ones((2, 4)), [0, 1])
    assert_unchanged(other, before)


@given(problems(), st.integers(0, 40))
def test_what_is_forgotten_was_never_seen(problem, cut):
    X, y, n_classes = problem
    scatter = fitted(*problem)
    assert scatter.forget(X[cut:], y[cut:]) is scatter
    assert_same(scatter, fitted(X[:cut], y[:cut], n_classes))


@given(problems(), st.integers(0, 4))
def test_a_class_can_be_forgotten_as_a_whole(problem, label):
    X, y, n_classes = problem
    scatter = fitted(*problem).forget(X[y == label], y[y == label])
    assert_same(scatter, fitted(X[y != label], y[y != label], n_classes))


@given(problems(), st.floats(-1e3, 1e3), st.integers(1, 9))
def test_after_all_is_forgotten_it_starts_anew(problem, move, n_parts):
    X, y, n_classes = problem
    scatter = fitted(X + move, y, n_classes)
    for rows in np.array_split(np.arange(len(X)), n_parts):
        scatter.forget(X[rows] + move, y[rows])
    assert not scatter.class_counts.any()
    assert not scatter.within.any()
    assert not scatter.covariance.any()
    assert_same(scatter.update(X, y), fitted(*problem))


@given(problems(), st.floats(-1e3, 1e3))
def test_a_feature_that_is_constant_has_no_variance(problem, constant):
    X, y, n_classes = problem
    scatter = fitted(np.c_[X, np.full(len(X), constant)], y, n_classes)
    variances = scatter.covariance.diagonal()
    assert (variances >= 0).all()
    assert variances[-1] <= 1e-20 * constant**2


@given(problems())
def test_add_class_appends_an_empty_class(problem):
    X, y, n_classes = problem
    grown, large = fitted(*problem), fitted(X, y, n_classes + 1)
    assert grown.add_class() == n_classes
    assert_same(grown, large)
    assert_same(grown.update(X, y * 0 + n_classes), large.update(X, y * 0 + n_classes))


def test_select_puts_classes_elsewhere_and_is_independent():
    scatter = fitted(*long_tail()).update(np.zeros((2, 4)), [0, 2])
    before = state_of(scatter)
    chosen = scatter.select(torch.tensor([4, 0, 2, 5]), 6)
    assert chosen.class_counts.tolist() == [100, 0, 31, 0, 301, 1]
    assert chosen.means[[4, 0, 2, 5]].equal(scatter.means)
    assert (chosen.n_classes, chosen.n_features) == (6, 4)
    torch.testing.assert_close(chosen.covariance, scatter.covariance)
    for name in ("zero_counts", "unit_sums"):
        ours, old = (getattr(x.statistics, name) for x in (chosen, scatter))
        assert ours[[4, 0, 2, 5]].equal(old)
        assert not ours[[1, 3]].any()
    chosen.update(np.ones((1, 4)), [3])
    assert_unchanged(scatter, before)


def test_copy_is_independent():
    scatter = fitted(*long_tail())
    copy = scatter.copy()
    scatter.update(np.ones((2, 4)), [0, 3]).add_class()
    assert_same(copy, fitted(*long_tail()), rtol=0)


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
    assert_same(
        scatter.forget(X[:cut], y[:cut]), fitted(units[cut:], y[cut:], n_classes)
    )


def test_scatters_of_unit_and_of_raw_features_cannot_be_merged():
    raw, units = (WithinClassScatter(2, 3, normalize=n) for n in (False, True))
    with pytest.raises(ValueError, match="normalize=False and True"):
        raw.merge(units)


def test_what_was_copied_in_inference_mode_can_be_added_to():
    X, y, n_classes = long_tail()
    scatter = fitted(X, y, n_classes)
    with torch.inference_mode():
        copies = [scatter.copy(), scatter.select(torch.arange(n_classes), n_classes)]
    for copy in copies:
        assert_same(copy.update(X, y).forget(X, y), scatter)


@pytest.mark.parametrize("change", ["update", "forget"])
def test_a_change_that_breaks_off_changes_nothing(change, monkeypatch):
    X, y, n_classes = long_tail()
    scatter = fitted(X, y, n_classes)
    before = state_of(scatter)

    def no_memory(self, *parts):
        raise MemoryError

    monkeypatch.setattr(WithinClassScatter, "_between", no_memory)
    with pytest.raises(MemoryError):
        getattr(scatter, change)(X, y)
    assert_unchanged(scatter, before)
