"""Scatters that are put together, taken apart, and copied."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.statistics import WithinClassScatter
from tests.statistics.scatters import (
    assert_same,
    assert_unchanged,
    fitted,
    long_tail,
    problems,
    state_of,
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


def test_what_forgetting_leaves_of_a_variance_is_never_below_zero():
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(9, 6)).astype(np.float32)
        X[:3] = 0.1
        scatter = fitted(X, np.zeros(9, dtype=int), 1)
        for rows in (slice(3, 5), slice(5, 9)):
            scatter.forget(X[rows], [0] * len(X[rows]))
        assert (scatter.covariance.diagonal() >= 0).all()
        # One example has no variance, whatever rounding has left.
        scatter.forget(X[:2], [0, 0])
        assert not scatter.covariance.any()


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
        assert not copy.within.is_inference()
        assert not copy.statistics.sums.is_inference()
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
