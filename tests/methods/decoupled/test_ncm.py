"""Nearest class mean against plain loops, and its growth."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from headtail import NearestClassMeanClassifier

METRICS = ["cosine", "euclidean", "centered"]


@pytest.fixture
def data():
    """Three overlapping classes of 40, 15 and 4 examples, far from the origin."""
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], [40, 15, 4])
    centers = np.repeat(rng.normal(size=(3, 5)), [40, 15, 4], axis=0)
    return centers + rng.normal(size=(59, 5)) + 3, y


def slow_predict(metric, X, y, X_test):
    """One sample, one class, one example at a time."""

    def length(v):
        return sum(x * x for x in v) ** 0.5

    def unit(v):
        return [x / length(v) for x in v]

    def mean(rows):
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    center = mean(X.tolist())

    def prepared(v):
        if metric == "cosine":
            return unit(v)
        if metric == "centered":
            return unit([a - b for a, b in zip(v, center, strict=True)])
        return v

    means = {
        c: mean(
            [prepared(v) for v, label in zip(X.tolist(), y, strict=True) if label == c]
        )
        for c in sorted(set(y))
    }
    predicted = []
    for v in X_test.tolist():
        distance = {}
        for c, m in means.items():
            target = unit(m) if metric == "cosine" else m
            gaps = [a - b for a, b in zip(prepared(v), target, strict=True)]
            distance[c] = length(gaps)
        predicted.append(min(distance, key=distance.get))
    return predicted


@pytest.mark.parametrize("metric", METRICS)
def test_predicts_the_nearest_mean(metric, data):
    X, y = data
    X_test = np.random.default_rng(1).normal(size=(200, 5)) + 3
    clf = NearestClassMeanClassifier(metric).fit(X, y)
    assert clf.predict(X_test).tolist() == slow_predict(metric, X, y, X_test)


def test_euclidean_is_scikit_learns_nearest_centroid(data):
    X, y = data
    X_test = np.random.default_rng(1).normal(size=(200, 5)) + 3
    ours = NearestClassMeanClassifier("euclidean").fit(X, y)
    theirs = NearestCentroid().fit(X, y)
    np.testing.assert_array_equal(ours.predict(X_test), theirs.predict(X_test))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_partial_fit_equals_fit_on_everything(metric, data):
    X, y = data
    whole = NearestClassMeanClassifier(metric).fit(X, y)
    first = y != "a"
    grown = NearestClassMeanClassifier(metric).partial_fit(X[first], y[first])
    for part in np.array_split((~first).nonzero()[0], 3):
        grown.partial_fit(X[part], y[part])
    assert grown.classes_.tolist() == ["b", "c", "a"]
    np.testing.assert_allclose(
        grown.predict_proba(X)[:, [2, 0, 1]], whole.predict_proba(X), rtol=1e-9
    )


def test_centered_needs_all_data_at_once():
    assert not hasattr(NearestClassMeanClassifier("centered"), "partial_fit")
    assert hasattr(NearestClassMeanClassifier("cosine"), "partial_fit")


def test_centered_does_not_mind_where_the_origin_is(data):
    X, y = data
    near = NearestClassMeanClassifier("centered").fit(X, y)
    far = NearestClassMeanClassifier("centered").fit(X + 100, y)
    np.testing.assert_allclose(far.predict_proba(X + 100), near.predict_proba(X))


def test_zero_rows_matter_where_directions_do(data):
    X, y = data
    X = np.where((y == "c")[:, None], 0.0, X)
    with pytest.raises(ValueError, match=r"classes \['c'\] are zero"):
        NearestClassMeanClassifier("cosine").fit(X, y)
    clf = NearestClassMeanClassifier("euclidean").fit(X, y)
    assert clf.predict(np.zeros((1, 5))).tolist() == ["c"]


@pytest.mark.parametrize("metric", METRICS)
def test_half_precision_gives_a_float32_head(metric, data):
    X, y = data
    clf = NearestClassMeanClassifier(metric).fit(X.astype(np.float16), y)
    assert clf.head_.weight.dtype == torch.float32


def test_refuses_another_metric(data):
    with pytest.raises(ValueError, match=r"'metric' parameter of .* Got 'manhattan'"):
        NearestClassMeanClassifier("manhattan").fit(*data)
