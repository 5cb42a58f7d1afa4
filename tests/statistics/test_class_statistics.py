import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.statistics import ClassStatistics, class_prototypes

FIELDS = ("class_counts", "zero_counts", "sums", "unit_sums")
SEEDS = st.integers(0, 2**31)


@st.composite
def problems(draw):
    n_classes, n_features = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    n_samples = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(SEEDS))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    X = rng.normal(size=(n_samples, n_features)).astype(dtype)
    X[rng.random(n_samples) < 0.1] = 0
    return X, rng.integers(n_classes, size=n_samples), n_classes


def fitted(X, y, n_classes):
    return ClassStatistics(n_classes, X.shape[1]).update(X, y)


def tensors_of(statistics):
    return {name: getattr(statistics, name).clone() for name in FIELDS}


def assert_same(first, second):
    for name in FIELDS:
        torch.testing.assert_close(
            getattr(first, name), getattr(second, name), rtol=1e-5, atol=1e-5
        )


def assert_unchanged(statistics, before):
    for name in FIELDS:
        assert torch.equal(getattr(statistics, name), before[name])


@given(problems())
def test_statistics_match_loops(problem):
    X, y, n_classes = problem
    statistics = fitted(X, y, n_classes)
    for c in range(n_classes):
        mine = X[y == c].astype(np.float64)
        assert statistics.class_counts[c] == len(mine)
        assert statistics.zero_counts[c] == sum(not row.any() for row in mine)
        total, unit_total = np.zeros(X.shape[1]), np.zeros(X.shape[1])
        for row in mine:
            total += row
            unit_total += row / (math.hypot(*row) or 1)
        np.testing.assert_allclose(statistics.sums[c], total, atol=1e-5)
        np.testing.assert_allclose(statistics.unit_sums[c], unit_total, atol=1e-5)
        if len(mine):
            means, prototypes = statistics.means[c], statistics.prototypes[c]
            np.testing.assert_allclose(means, total / len(mine), atol=1e-5)
            np.testing.assert_allclose(prototypes, unit_total / len(mine), atol=1e-5)


@given(problems(), SEEDS, st.integers(1, 5))
def test_order_of_updates_changes_nothing(problem, seed, n_parts):
    X, y, n_classes = problem
    order = np.random.default_rng(seed).permutation(len(X))
    parts = ClassStatistics(n_classes, X.shape[1])
    for rows in np.array_split(order, n_parts):
        parts.update(X[rows], y[rows])
    assert_same(parts, fitted(X, y, n_classes))


@given(problems(), st.integers(1, 40))
def test_merge_is_an_update_with_both(problem, cut):
    X, y, n_classes = problem
    first, second = fitted(X[:cut], y[:cut], n_classes), fitted(X, y, n_classes)
    before = tensors_of(second)
    assert first.merge(second) is first
    both = np.concatenate([X[:cut], X]), np.concatenate([y[:cut], y])
    assert_same(first, fitted(*both, n_classes))
    assert_unchanged(second, before)


@given(problems(), st.integers(0, 40))
def test_forget_undoes_update(problem, cut):
    X, y, n_classes = problem
    statistics = fitted(X, y, n_classes)
    assert statistics.forget(X[cut:], y[cut:]) is statistics
    assert_same(statistics, fitted(X[:cut], y[:cut], n_classes))


@given(problems(), SEEDS)
def test_forgetting_the_last_example_leaves_exactly_zero(problem, seed):
    X, y, n_classes = problem
    statistics = fitted(X * 1e6, y, n_classes)
    for row in np.random.default_rng(seed).permutation(len(X)):
        statistics.forget(X[[row]] * 1e6, y[[row]])
        empty = statistics.class_counts == 0
        assert not statistics.sums[empty].any()
        assert not statistics.unit_sums[empty].any()
    for name in FIELDS:
        assert not getattr(statistics, name).any()
    assert_same(statistics.update(X, y), fitted(X, y, n_classes))


@given(problems(), SEEDS)
def test_permuting_classes_permutes_the_statistics(problem, seed):
    X, y, n_classes = problem
    places = np.random.default_rng(seed).permutation(n_classes)
    permuted, statistics = fitted(X, places[y], n_classes), fitted(X, y, n_classes)
    for name in FIELDS:
        torch.testing.assert_close(
            getattr(permuted, name)[places], getattr(statistics, name)
        )


@given(problems(), SEEDS)
def test_scaling_rows_changes_no_prototype(problem, seed):
    X, y, n_classes = problem
    exponents = np.random.default_rng(seed).uniform(-30, 30, size=(len(X), 1))
    scaled = (X * 10**exponents).astype(X.dtype)
    torch.testing.assert_close(
        fitted(scaled, y, n_classes).prototypes,
        fitted(X, y, n_classes).prototypes,
        rtol=1e-5,
        atol=1e-5,
        equal_nan=True,
    )


@given(problems())
def test_add_class_appends_an_empty_class(problem):
    X, y, n_classes = problem
    grown, large = fitted(X, y, n_classes), fitted(X, y, n_classes + 1)
    assert grown.add_class() == n_classes
    assert grown.n_classes == n_classes + 1
    assert_same(grown, large)
    new = np.full(len(X), n_classes)
    assert_same(grown.update(X, new), large.update(X, new))


def test_add_class_starts_from_no_class():
    statistics = ClassStatistics(0, 2)
    assert [statistics.add_class(), statistics.add_class()] == [0, 1]
    statistics.update([[0.0, 2.0]], [1])
    assert statistics.prototypes[1].tolist() == [0.0, 1.0]


def test_class_without_example_has_no_mean():
    statistics = ClassStatistics(2, 2).update([[3.0, 4.0]], [1])
    assert statistics.means.isnan().tolist() == [[True, True], [False, False]]
    assert statistics.prototypes.isnan().tolist() == [[True, True], [False, False]]


def test_zero_rows_count_as_examples_without_direction():
    statistics = ClassStatistics(1, 2).update([[0.0, 0.0], [3.0, 4.0]], [0, 0])
    assert statistics.zero_counts.tolist() == [1]
    torch.testing.assert_close(
        statistics.prototypes, torch.tensor([[0.3, 0.4]]).double()
    )


def test_first_update_shares_no_memory_with_the_data():
    X, y = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([0])
    statistics = ClassStatistics(1, 2).update(X, y)
    before = tensors_of(statistics)
    X += 1
    assert_unchanged(statistics, before)
    statistics.update([[5.0, 5.0]], [0])
    assert (X.tolist(), y.tolist()) == ([[2.0, 3.0]], [0])


def test_copy_is_independent():
    statistics = ClassStatistics(1, 1).update([[2.0]], [0])
    copy = statistics.copy()
    before = tensors_of(copy)
    statistics.update([[3.0]], [0])
    assert_unchanged(copy, before)


def test_repr_shows_the_sizes():
    statistics = ClassStatistics(3, 2).update([[1.0, 2.0]] * 4, [0, 1, 1, 2])
    expected = "ClassStatistics(n_classes=3, n_features=2, n_samples=4)"
    assert repr(statistics) == expected


BAD = [
    ([[1.0, 2.0], [math.nan, 0.0]], [0, 1], ValueError, r"1 rows .*\(rows \[1\]\)"),
    ([[math.inf, 2.0], [1.0, 0.0]], [0, 1], ValueError, r"1 rows .*\(rows \[0\]\)"),
    ([[1.0, 2.0]] * 3, [0, 2, -1], ValueError, r"in 0 … 1; got \[-1, 2\]"),
    ([[1.0, 2.0]], [0.0], TypeError, "integers; got float64"),
    ([[1.0, 2.0]], [True], TypeError, "integers; got bool"),
    ([[1.0, 2.0]], [0, 1], ValueError, r"features \(1\); got shape \[2\]"),
    ([[1.0, 2.0, 3.0]], [0], ValueError, r"\[n_samples, 2\]; got \[1, 3\]"),
    ([1.0, 2.0], [0, 1], ValueError, r"\[n_samples, 2\]; got \[2\]"),
    ([[1j, 2.0]], [0], TypeError, "real numbers; got torch.complex128"),
    ([[True, False]], [0], TypeError, "real numbers; got torch.bool"),
]


@pytest.mark.parametrize("action", ["update", "forget"])
@pytest.mark.parametrize(("features", "labels", "error", "message"), BAD)
def test_refused_rows_change_nothing(features, labels, error, message, action):
    statistics = ClassStatistics(2, 2).update([[1.0, 2.0]] * 6, [0, 1] * 3)
    before = tensors_of(statistics)
    with pytest.raises(error, match=message):
        getattr(statistics, action)(features, labels)
    assert_unchanged(statistics, before)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ([[1.0], [1.0]], [0, 0], r"classes \[0\] would fall below zero"),
        ([[0.0]], [1], r"classes \[1\] would fall below zero"),
    ],
)
def test_forget_refuses_what_was_never_added(features, labels, message):
    statistics = ClassStatistics(3, 1).update([[1.0], [2.0], [3.0]], [0, 1, 1])
    before = tensors_of(statistics)
    with pytest.raises(ValueError, match=message):
        statistics.forget(features, labels)
    assert_unchanged(statistics, before)


def test_merge_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(1, 3\)"):
        ClassStatistics(2, 3).merge(ClassStatistics(1, 3))


@pytest.mark.parametrize("sizes", [(-1, 2), (2, 0)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=f"got {sizes[0]} and {sizes[1]}"):
        ClassStatistics(*sizes)


def test_class_prototypes_are_means_of_unit_features():
    features = torch.tensor([[30.0, 40.0], [0.0, 0.1], [-7.0, 0.0]])
    prototypes = class_prototypes(features, torch.tensor([1, 1, 0]), 2)
    expected = torch.tensor([[-1.0, 0.0], [0.3, 0.9]])
    torch.testing.assert_close(prototypes, expected.double())


def test_class_prototypes_refuse_a_class_without_example():
    with pytest.raises(ValueError, match=r"classes \[0, 2\] have none"):
        class_prototypes(torch.ones(2, 2), torch.tensor([1, 1]), 3)
