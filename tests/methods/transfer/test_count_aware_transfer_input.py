"""The smallest and the strangest data for the count-aware estimator, and wrong ones."""

import numpy as np
import pytest

from tests.methods.transfer.count_aware import classifier


def finite(clf, X):
    proba = clf.predict_proba(X)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    return True


def test_two_classes_have_one_number_per_row(five_classes):
    X, y = five_classes
    two = y <= 30
    clf = classifier().fit(X[two], y[two])
    logits = clf.decision_function(X)
    assert logits.shape == (len(X),)
    assert np.array_equal(clf.predict(X), np.where(logits > 0, 30, 20))


def test_two_examples_are_enough():
    clf = classifier().fit([[0.0, 1.0], [1.0, 0.0]], ["up", "right"])
    assert clf.predict([[0.0, 5.0], [3.0, 0.0]]).tolist() == ["up", "right"]


def test_one_example_per_class_is_recognised_again():
    X = np.random.default_rng(0).normal(size=(7, 5))
    clf = classifier().fit(X, np.arange(7))
    assert clf.predict(X).tolist() == list(range(7))
    # No class has a spread: the features are left as they are.
    np.testing.assert_array_equal(clf.map_, np.eye(5))


@pytest.mark.parametrize("shrinkage", [0.0, 0.8, 1.0])
def test_there_may_be_more_features_than_examples(shrinkage):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [9, 4, 2])
    X = rng.normal(size=(3, 60))[y] + 0.3 * rng.normal(size=(15, 60))
    clf = classifier(shrinkage=shrinkage).fit(X, y)
    assert finite(clf, X)
    assert clf.predict(X).tolist() == y.tolist()


@pytest.mark.parametrize("shrinkage", [0.0, 0.8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_covariance_may_be_singular(five_classes, shrinkage, dtype):
    X = np.repeat(five_classes[0], 2, axis=1)
    X[:, 1] = 0
    clf = classifier(shrinkage=shrinkage).fit(X.astype(dtype), five_classes[1])
    assert finite(clf, X)
    assert (clf.predict(X) == five_classes[1]).mean() > 0.9


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3, -1e300])
def test_features_may_be_constant(value):
    X, y = np.full((30, 4), value), np.repeat([0, 1, 2], [20, 8, 2])
    assert finite(classifier().fit(X, y), X)
    assert finite(classifier(shrinkage=0.0).fit(X, y), np.eye(4))


def test_a_class_may_be_all_zero(five_classes, held_out):
    X, y = five_classes[0].copy(), five_classes[1]
    X[y == 60] = 0
    clf = classifier().fit(X, y)
    assert finite(clf, held_out)
    assert clf.predict(np.zeros((1, 8))).tolist() == [60]
    assert finite(clf.partial_fit(np.zeros((2, 8)), [70, 70]), held_out)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused_by_number(five_classes, fitted_once, bad):
    X = five_classes[0].copy()
    X[[3, 17], 2] = bad
    message = r"X must be finite; 2 rows hold NaN or inf \(rows \[3, 17\]\)"
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, five_classes[1])
    with pytest.raises(ValueError, match=message):
        fitted_once.predict(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shrinkage": -0.1}, r"'shrinkage' parameter .* range \[0.*1.*\].* Got -0.1"),
        ({"shrinkage": 1.1}, r"'shrinkage' parameter .* Got 1.1"),
        ({"shrinkage": "much"}, r"'shrinkage' parameter .* Got 'much'"),
        ({"max_head_loss": -0.1}, r"'max_head_loss' parameter .* Got -0.1"),
        ({"max_head_loss": 1.5}, r"'max_head_loss' parameter .* Got 1.5"),
        ({"max_head_loss": None}, r"'max_head_loss' parameter .* Got None"),
        ({"random_state": "x"}, r"'random_state' parameter .* Got 'x'"),
        ({"device": 3}, r"'device' parameter .* Got 3"),
        ({"device": "nowhere"}, "device must be one that this torch can use"),
    ],
)
def test_wrong_parameters_are_refused(five_classes, options, message):
    clf = classifier(**options)
    with pytest.raises(ValueError, match=message):
        clf.fit(*five_classes)
    assert not hasattr(clf, "classes_")


def test_one_class_is_refused(five_classes):
    with pytest.raises(ValueError, match="at least 2 classes in y; got 1 class"):
        classifier().fit(five_classes[0], np.zeros(len(five_classes[0])))
