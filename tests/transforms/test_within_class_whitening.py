"""What whitened features are, and what changes them and what does not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import helmert, sqrtm
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.covariance import oas, shrunk_covariance
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from headtail import LinearClassifier
from headtail.transforms import WithinClassWhitening

SEEDS, SHARES = st.integers(0, 2**31), st.floats(0, 1)
NAMES = np.array(["ant", "bee", "cat", "dog"])


def long_tail(seed=0, n_features=4):
    """Four classes of 200, 60, 15 and 1 examples that scatter alike."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(4), [200, 60, 15, 1])
    X = rng.normal(size=(len(y), n_features)) @ rng.normal(size=[n_features] * 2)
    return X + rng.normal(scale=3, size=(4, n_features))[y] + 5, NAMES[y]


@st.composite
def problems(draw):
    n_classes, n_features = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    n_samples = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(SEEDS))
    y = rng.integers(n_classes, size=n_samples)
    X = rng.normal(size=(n_samples, n_features)) * rng.uniform(0.5, 2, n_features)
    return X + rng.normal(scale=3, size=(n_classes, n_features))[y], NAMES[y]


def covariance_within(X, y):
    """Pool the covariance around the class means, with plain NumPy."""
    rows = np.concatenate([X[y == c] - X[y == c].mean(axis=0) for c in np.unique(y)])
    return rows.T @ rows / max(len(X) - len(np.unique(y)), 1)


def root_of_inverse(covariance):
    return np.linalg.inv(sqrtm(covariance).real)


def by_hand(X, y, shrinkage, center):
    means = np.stack([X[y == c].mean(axis=0) for c in np.unique(y)])
    moved = {"class-means": means.mean(axis=0), "samples": X.mean(axis=0), None: 0.0}
    shrunk = shrunk_covariance(covariance_within(X, y), shrinkage)
    return (X - moved[center]) @ root_of_inverse(shrunk)


def assert_same_map(first, second, tolerance=1e-7):
    """Compare the maps of two, and where they put zero."""
    assert first.shrinkage_ == pytest.approx(second.shrinkage_, abs=tolerance)
    for name in ("map_", "center_"):
        ours, other = getattr(first, name), getattr(second, name)
        torch.testing.assert_close(ours, other, rtol=tolerance, atol=tolerance)


@given(SEEDS, SHARES, st.sampled_from(["class-means", "samples", None]))
def test_whitened_features_are_those_computed_by_hand(seed, shrinkage, center):
    X, y = long_tail(seed)
    whitening = WithinClassWhitening(shrinkage, center).fit(X, y)
    expected = by_hand(X, y, shrinkage, center)
    np.testing.assert_allclose(whitening.transform(X), expected, rtol=1e-6, atol=1e-6)
    assert whitening.shrinkage_ == shrinkage


@given(SEEDS)
def test_without_shrinkage_the_classes_scatter_alike_in_all_directions(seed):
    X, y = long_tail(seed)
    Z = WithinClassWhitening(0.0).fit_transform(X, y)
    np.testing.assert_allclose(covariance_within(Z, y), np.eye(4), atol=1e-7)


@given(SEEDS, SHARES)
def test_with_shrinkage_the_covariance_is_between_map_and_map(seed, shrinkage):
    X, y = long_tail(seed)
    S = covariance_within(X, y)
    M = root_of_inverse(shrunk_covariance(S, shrinkage))
    Z = WithinClassWhitening(shrinkage).fit_transform(X, y)
    np.testing.assert_allclose(covariance_within(Z, y), M @ S @ M, atol=1e-7)


@given(SEEDS)
def test_full_shrinkage_only_scales(seed):
    X, y = long_tail(seed)
    Z = WithinClassWhitening(1.0, center=None).fit_transform(X, y)
    scale = np.sqrt(np.trace(covariance_within(X, y)) / 4)
    np.testing.assert_allclose(Z, X / scale, rtol=1e-7)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_auto_is_the_shrinkage_of_scikit_learn_for_one_class(seed):
    X = long_tail(seed)[0]
    ours = WithinClassWhitening().fit(X, np.zeros(len(X))).shrinkage_
    # n rows around their own mean are as good as n - 1 rows around zero.
    _, expected = oas(helmert(len(X)) @ X, assume_centered=True)
    assert ours == pytest.approx(expected, rel=1e-7)


def test_auto_shrinks_less_the_more_examples_there_are():
    X, y = long_tail()
    few = WithinClassWhitening().fit(X[::10], y[::10])
    many = WithinClassWhitening().fit(X, y)
    assert 0 < many.shrinkage_ < few.shrinkage_ < 1


@given(SEEDS, SEEDS)
def test_without_shrinkage_no_linear_map_of_the_features_changes_distances(seed, other):
    X, y = long_tail(seed)
    rng = np.random.default_rng(other)
    mixed = X @ (rng.normal(size=(4, 4)) + 3 * np.eye(4)) + rng.normal(size=4)
    plain, ours = (
        pdist(WithinClassWhitening(0.0).fit_transform(x, y)[::20]) for x in (X, mixed)
    )
    np.testing.assert_allclose(ours, plain, rtol=1e-5)


@given(SEEDS, st.floats(-3, 3))
def test_with_auto_the_unit_of_the_features_does_not_matter(seed, exponent):
    X, y = long_tail(seed)
    plain = WithinClassWhitening().fit_transform(X, y)
    scaled = WithinClassWhitening().fit_transform(X * 10**exponent, y)
    np.testing.assert_allclose(scaled, plain, rtol=1e-7, atol=1e-7)


@given(problems(), SEEDS)
def test_order_of_examples_and_names_of_classes_do_not_matter(problem, seed):
    X, y = problem
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    renamed = rng.permutation(4)[np.searchsorted(NAMES, y)]
    plain = WithinClassWhitening().fit(X, y)
    assert_same_map(WithinClassWhitening().fit(X[order], renamed[order]), plain)


def test_class_means_count_alike_and_samples_count_once():
    X, y = np.array([[0.0], [2.0], [4.0], [12.0]]), [0, 0, 0, 1]
    centers = {
        center: WithinClassWhitening(center=center).fit(X, y).center_.item()
        for center in ("class-means", "samples", None)
    }
    assert centers == {"class-means": 7.0, "samples": 4.5, None: 0.0}


def test_the_map_is_symmetric_float64_and_fits_what_is_documented():
    X, y = long_tail()
    whitening = WithinClassWhitening().fit(X.astype(np.float32), y)
    assert whitening.classes_.tolist() == NAMES.tolist()
    assert whitening.n_features_in_ == 4
    assert whitening.map_.equal(whitening.map_.T)
    assert {whitening.map_.dtype, whitening.center_.dtype} == {torch.float64}
    assert whitening.scatter_.class_counts.tolist() == [200, 60, 15, 1]


def test_a_pipeline_learns_from_whitened_features():
    X, y = long_tail()
    head = LinearClassifier(epochs=1, random_state=0)
    pipeline = make_pipeline(WithinClassWhitening(), clone(head)).fit(X, y)
    Z = WithinClassWhitening().fit_transform(X, y)
    expected = head.fit(Z, y).predict_proba(Z)
    np.testing.assert_allclose(pipeline.predict_proba(X), expected)
    assert pipeline.classes_.tolist() == NAMES.tolist()


def test_clone_keeps_the_parameters_and_not_the_data():
    X, y = long_tail()
    copy = clone(WithinClassWhitening(0.3, "samples", device="cpu").fit(X, y))
    assert copy.get_params() == {
        "shrinkage": 0.3,
        "center": "samples",
        "device": "cpu",
    }
    assert not hasattr(copy, "scatter_")


def test_features_have_numbered_names():
    whitening = WithinClassWhitening().fit(*long_tail(n_features=2))
    names = ["withinclasswhitening0", "withinclasswhitening1"]
    assert whitening.get_feature_names_out().tolist() == names


def test_data_frames_go_in_and_come_out():
    pandas = pytest.importorskip("pandas")
    X, y = long_tail(n_features=2)
    frame = pandas.DataFrame(X, columns=["a", "b"], index=np.arange(len(X)) + 7)
    whitening = WithinClassWhitening().set_output(transform="pandas").fit(frame, y)
    Z = whitening.transform(frame)
    assert Z.columns.tolist() == ["withinclasswhitening0", "withinclasswhitening1"]
    assert Z.index.tolist() == frame.index.tolist()
    assert whitening.feature_names_in_.tolist() == ["a", "b"]
    expected = WithinClassWhitening().fit_transform(X, y)
    np.testing.assert_allclose(Z.to_numpy(), expected)


@parametrize_with_checks(
    [
        WithinClassWhitening(),
        WithinClassWhitening(0.0, "samples"),
        WithinClassWhitening(1, None, device="cpu"),
    ]
)
def test_contract(estimator, check):
    check(estimator)
