"""Examples that come later, from elsewhere, or are to be forgotten."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from headtail.transforms import WithinClassWhitening

SEEDS = st.integers(0, 2**31)


@st.composite
def problems(draw):
    """Classes of any size, in any order; some do not occur, some only once."""
    n_samples, n_features = draw(st.integers(2, 30)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(SEEDS))
    y = rng.choice([30, -1, 7, 2], p=[0.5, 0.3, 0.1, 0.1], size=n_samples)
    X = rng.normal(size=(n_samples, n_features)) * rng.uniform(0.5, 2, n_features)
    return X + 0.5 * y[:, None], y, draw(st.integers(1, n_samples - 1))


def fixed():
    rng = np.random.default_rng(0)
    y = np.repeat(["ant", "bee", "cat"], [30, 10, 5])
    return rng.normal(size=(45, 3)) + np.repeat([0, 2, 4], [30, 10, 5])[:, None], y


def assert_same_map(first, second):
    """Compare the maps of two, and where they put zero."""
    assert first.scatter_.degrees_of_freedom == second.scatter_.degrees_of_freedom
    # The covariance first: with few examples the map may lie far from it.
    ours, other = first.scatter_.covariance, second.scatter_.covariance
    torch.testing.assert_close(ours, other, rtol=1e-8, atol=1e-8)
    assert first.shrinkage_ == pytest.approx(second.shrinkage_, abs=1e-6)
    for name in ("map_", "center_"):
        ours, other = getattr(first, name), getattr(second, name)
        torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-6)


def state_of(whitening):
    return pickle.dumps(whitening)


@given(problems(), SEEDS, st.integers(1, 5))
def test_examples_may_come_in_parts_and_in_any_order(problem, seed, n_parts):
    X, y, _ = problem
    order = np.random.default_rng(seed).permutation(len(X))
    parts = WithinClassWhitening()
    for rows in np.array_split(order, min(n_parts, len(X))):
        assert parts.partial_fit(X[rows], y[rows]) is parts
    assert_same_map(parts, WithinClassWhitening().fit(X, y))
    assert sorted(parts.classes_) == sorted(set(y))


@given(problems())
def test_merge_is_a_fit_on_both(problem):
    X, y, cut = problem
    first = WithinClassWhitening().fit(X[:cut], y[:cut])
    second = WithinClassWhitening().fit(X[cut:], y[cut:])
    before = state_of(second)
    assert first.merge(second) is first
    assert_same_map(first, WithinClassWhitening().fit(X, y))
    assert sorted(first.classes_) == sorted(set(y))
    assert state_of(second) == before


@given(problems())
def test_what_is_forgotten_was_never_seen(problem):
    X, y, cut = problem
    whitening = WithinClassWhitening().fit(X, y)
    assert whitening.forget(X[cut:], y[cut:]) is whitening
    assert_same_map(whitening, WithinClassWhitening().fit(X[:cut], y[:cut]))


@pytest.mark.parametrize("center", ["class-means", "samples", None])
@pytest.mark.parametrize("label", ["ant", "bee", "cat"])
def test_a_class_can_be_forgotten_as_a_whole(label, center):
    X, y = fixed()
    whitening = WithinClassWhitening(center=center).fit(X, y)
    whitening.forget(X[y == label], y[y == label])
    others = WithinClassWhitening(center=center).fit(X[y != label], y[y != label])
    assert_same_map(whitening, others)
    assert whitening.classes_.tolist() == ["ant", "bee", "cat"]


@pytest.mark.parametrize("center", ["class-means", "samples", None])
def test_after_all_is_forgotten_features_stay_as_they_are(center):
    X, y = fixed()
    whitening = WithinClassWhitening(center=center).fit(X, y).forget(X, y)
    assert whitening.map_.equal(torch.eye(3).double())
    assert not whitening.center_.any()
    np.testing.assert_array_equal(whitening.transform(X), X)
    again = whitening.partial_fit(X, y)
    assert_same_map(again, WithinClassWhitening(center=center).fit(X, y))


def test_new_classes_stand_at_the_end_sorted():
    X, y = fixed()
    whitening = WithinClassWhitening().fit(X[y == "bee"], y[y == "bee"])
    whitening.partial_fit(X[y != "bee"], y[y != "bee"])
    assert whitening.classes_.tolist() == ["bee", "ant", "cat"]
    assert whitening.scatter_.class_counts.tolist() == [10, 30, 5]
    other = WithinClassWhitening().fit(X[::-1], np.char.add(y[::-1], "s"))
    merged = whitening.merge(other)
    assert merged.classes_.tolist() == ["bee", "ant", "cat", "ants", "bees", "cats"]
    assert merged.scatter_.class_counts.tolist() == [10, 30, 5, 30, 10, 5]


def test_fit_starts_anew():
    X, y = fixed()
    whitening = WithinClassWhitening().fit(10 * X[:, :2], np.arange(45) % 2)
    assert_same_map(whitening.fit(X, y), WithinClassWhitening().fit(X, y))
    assert whitening.classes_.tolist() == ["ant", "bee", "cat"]
    assert whitening.n_features_in_ == 3


def test_parameters_set_later_hold_from_the_next_examples_on():
    X, y = fixed()
    whitening = WithinClassWhitening().fit(X[:40], y[:40])
    whitening.set_params(shrinkage=0.5, center="samples").partial_fit(X[40:], y[40:])
    assert_same_map(whitening, WithinClassWhitening(0.5, "samples").fit(X, y))


def test_examples_may_come_as_tensors_and_arrays_by_turns():
    X, y = fixed()
    numbers = np.unique(y, return_inverse=True)[1]
    whitening = WithinClassWhitening().fit(
        torch.from_numpy(X), torch.from_numpy(numbers)
    )
    whitening.partial_fit(X, numbers).forget(torch.from_numpy(X), numbers)
    assert_same_map(whitening, WithinClassWhitening().fit(X, numbers))


def test_it_can_be_pickled_and_go_on():
    X, y = fixed()
    whitening = WithinClassWhitening().fit(X[:30], y[:30])
    loaded = pickle.loads(pickle.dumps(whitening))
    np.testing.assert_array_equal(loaded.transform(X), whitening.transform(X))
    loaded.partial_fit(X[30:], y[30:])
    assert_same_map(loaded, WithinClassWhitening().fit(X, y))
    assert whitening.classes_.tolist() == ["ant"]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_gradient_mode_of_the_caller_does_not_matter(mode):
    X, y = fixed()
    with mode():
        whitening = WithinClassWhitening().fit(X[:30], y[:30])
    whitening.partial_fit(X[30:], y[30:])
    assert_same_map(whitening, WithinClassWhitening().fit(X, y))
    features = torch.from_numpy(X).requires_grad_()
    assert not whitening.transform(features).requires_grad


X, Y = fixed()
NAN, WIDE = np.where(np.arange(45)[:, None] == 7, np.nan, X), np.c_[X, X]


@pytest.mark.parametrize("action", ["fit", "partial_fit", "forget"])
@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (NAN, Y, r"X must be finite; 1 rows .*\(rows \[7\]\)"),
        (torch.from_numpy(NAN), Y, r"X must be finite; 1 rows .*\(rows \[7\]\)"),
        (
            X * np.inf,
            Y,
            r"45 rows hold NaN or inf \(rows \[0, 1, 2, 3, 4, … 40 more\]\)",
        ),
        (X, Y[:-1], "inconsistent numbers of samples"),
        (X[:0], Y[:0], r"0 sample\(s\)"),
        (torch.from_numpy(X[:0]), Y[:0], r"at least 1 sample .* shape \[0, 3\]"),
        (X[0], Y[:1], "Expected 2D array, got 1D array"),
        (torch.from_numpy(X[0]), Y[:1], r"Expected 2D array .* shape \[3\]"),
        (X, X[:, 0], "Unknown label type: continuous"),
        (X, np.c_[Y, Y], r"1d array, got an array of shape \(45, 2\)"),
    ],
)
def test_what_is_refused_changes_nothing(features, labels, message, action):
    whitening = WithinClassWhitening().fit(X, Y)
    before = state_of(whitening)
    with pytest.raises(ValueError, match=message):
        getattr(whitening, action)(features, labels)
    assert state_of(whitening) == before


@pytest.mark.parametrize(
    ("action", "features", "labels", "message"),
    [
        ("partial_fit", WIDE, Y, "X has 6 features, but Within.* is expecting 3"),
        ("forget", WIDE, Y, "X has 6 features, but Within.* is expecting 3"),
        ("partial_fit", torch.from_numpy(WIDE), Y, "X has 6 features, .* expecting 3"),
        ("partial_fit", X, np.arange(45) % 2, r"of the kind of the known .* got int64"),
        ("forget", X[:2], ["ant", "cow"], r"known classes; \['cow'\] are not known"),
        ("forget", X[:2], [0, 1], r"known classes; \[0, 1\] are not known"),
        ("forget", X[Y == "ant"], ["cat"] * 30, r"classes \[2\] would fall below zero"),
    ],
)
def test_what_does_not_fit_the_first_examples_changes_nothing(
    action, features, labels, message
):
    whitening = WithinClassWhitening().fit(X, Y)
    before = state_of(whitening)
    with pytest.raises(ValueError, match=message):
        getattr(whitening, action)(features, labels)
    assert state_of(whitening) == before


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (WithinClassWhitening().fit(WIDE, Y), ValueError, "got 3 and 6"),
        (
            WithinClassWhitening().fit(X, np.arange(45) % 2),
            ValueError,
            r"of the kind of the known ones \(<U3\); got int64 \(\[0, 1\]\)",
        ),
        (WithinClassWhitening(), NotFittedError, "is not fitted yet"),
        (None, TypeError, "must be a WithinClassWhitening; got NoneType"),
        (
            StandardScaler().fit(X),
            TypeError,
            "must be a WithinClassWhitening; got StandardScaler",
        ),
    ],
)
def test_a_merge_that_is_refused_changes_nothing(other, error, message):
    whitening = WithinClassWhitening().fit(X, Y)
    before = state_of(whitening)
    with pytest.raises(error, match=message):
        whitening.merge(other)
    assert state_of(whitening) == before


def test_features_in_another_order_are_not_merged():
    pandas = pytest.importorskip("pandas")
    named, turned, others = (
        WithinClassWhitening().fit(pandas.DataFrame(X, columns=list(names)), Y)
        for names in ("abc", "cba", "abc")
    )
    before = state_of(named)
    with pytest.raises(ValueError, match=r"\['a', 'b', 'c'\] and \['c', 'b', 'a'\]"):
        named.merge(turned)
    assert state_of(named) == before
    assert named.merge(others).scatter_.class_counts.tolist() == [60, 20, 10]
    assert named.merge(WithinClassWhitening().fit(X, Y)).n_features_in_ == 3


def test_a_parameter_that_became_wrong_is_named_before_anything_is_merged():
    whitening = WithinClassWhitening().fit(X, Y).set_params(shrinkage=2.0)
    before = state_of(whitening)
    with pytest.raises(ValueError, match=r"'shrinkage' .* Got 2.0 instead"):
        whitening.merge(WithinClassWhitening().fit(X, Y))
    assert state_of(whitening) == before


@pytest.mark.parametrize("action", ["transform", "forget", "merge", "carried_by"])
def test_an_unfitted_one_can_only_be_fitted(action):
    arguments = {"forget": (X, Y), "merge": (WithinClassWhitening().fit(X, Y),)}
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(WithinClassWhitening(), action)(*arguments.get(action, (X,)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shrinkage": 1.1}, r"'shrinkage' .* range \[0.0, 1.0\] .* Got 1.1 instead"),
        ({"shrinkage": -0.1}, "'shrinkage' .* Got -0.1 instead"),
        ({"shrinkage": float("nan")}, "'shrinkage' .* Got nan instead"),
        ({"shrinkage": "oas"}, r"'shrinkage' .* \{'auto'\}. Got 'oas' instead"),
        ({"shrinkage": None}, "'shrinkage' .* Got None instead"),
        ({"center": "mean"}, "'center' .* or None. Got 'mean' instead"),
        ({"center": True}, "'center' .* Got True instead"),
        ({"device": 0}, "'device' .* Got 0 instead"),
        ({"device": "cpux"}, "device must be one that this torch can use; got 'cpux'"),
    ],
)
def test_a_wrong_parameter_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        WithinClassWhitening(**parameters).fit(X, Y)
