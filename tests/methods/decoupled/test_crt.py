"""Classifier re-training is the linear classifier with class-aware sampling."""

import inspect

import numpy as np
import pytest

from headtail import LinearClassifier, RetrainedClassifier, load_classifier

SETTINGS = {
    "learning_rate": 3.0,
    "weight_decay": 1e-3,
    "epochs": 3,
    "batch_size": 2,
    "random_state": 5,
}


@pytest.mark.parametrize("sampling", [None, "class", "over"])
def test_it_equals_the_linear_classifier_with_the_same_settings(sampling, blobs):
    X, y, X_test, _ = blobs
    given = {} if sampling is None else {"sampling": sampling}
    clf = RetrainedClassifier(**SETTINGS, **given).fit(X, y)
    linear = LinearClassifier(sampling or "class-aware", **SETTINGS).fit(X, y)
    assert clf.head_.weight.equal(linear.head_.weight)
    assert clf.head_.bias.equal(linear.head_.bias)
    np.testing.assert_array_equal(
        clf.predict_proba(X_test), linear.predict_proba(X_test)
    )


def test_the_defaults_are_the_papers_where_it_says():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(RetrainedClassifier).parameters.items()
    }
    assert defaults["sampling"] == "class-aware"
    assert (defaults["epochs"], defaults["batch_size"]) == (10, 512)
    assert "base" not in defaults


def test_it_raises_the_tail(blobs):
    X, y, X_test, y_test = blobs
    settings = {"learning_rate": 0.5, "epochs": 5, "random_state": 0}
    recalls = [
        (clf.fit(X, y).predict(X_test)[y_test == 3] == 3).mean()
        for clf in (LinearClassifier(**settings), RetrainedClassifier(**settings))
    ]
    assert recalls[1] > recalls[0] + 0.1


def test_same_seed_same_bytes_and_everything_comes_back(blobs, tmp_path):
    X, y, X_test, _ = blobs
    for name in ("first", "second"):
        clf = RetrainedClassifier(**SETTINGS).fit(X, y)
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second
    loaded = load_classifier(tmp_path / "first")
    assert loaded.get_params() == clf.get_params()
    np.testing.assert_array_equal(
        loaded.predict_proba(X_test), clf.predict_proba(X_test)
    )


@pytest.mark.parametrize("classes", [["lynx", "cat"], list("edcba")])
def test_one_example_per_class(classes):
    X = np.eye(len(classes))
    clf = RetrainedClassifier(epochs=100, random_state=0).fit(X, classes)
    assert clf.predict(X).tolist() == classes
    assert clf.predict_proba(X).shape == (len(classes), len(classes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "often"}, "'sampling' parameter of .* Got 'often'"),
        ({"epochs": 0}, "'epochs' parameter of .* Got 0"),
        ({"learning_rate": 0}, "'learning_rate' parameter of .* Got 0"),
        ({"weight_decay": -1}, "'weight_decay' parameter of .* Got -1"),
        ({"batch_size": 1.5}, r"'batch_size' parameter of .* Got 1\.5"),
    ],
)
def test_other_settings_are_refused(options, message, blobs):
    X, y, *_ = blobs
    with pytest.raises(ValueError, match=message):
        RetrainedClassifier(**options).fit(X, y)
