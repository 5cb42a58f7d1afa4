"""Post-hoc logit adjustment as an estimator, against re-weighted probabilities."""

import numpy as np
import pytest
import torch

from headtail import (
    LinearClassifier,
    LogitAdjustedClassifier,
    NearestClassMeanClassifier,
    load_classifier,
)
from headtail.heads import AffineHead, CosineHead, EnsembleHead, LinearHead

WEIGHT = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
BIAS = torch.tensor([1.0, -1.0, 3.0, 0.0])
PRIOR = np.array([80, 30, 10, 4]) / 124
TARGET = [0.1, 0.2, 0.3, 0.4]
HEADS = {
    "linear": LinearHead(WEIGHT, BIAS),
    "bare": LinearHead(WEIGHT),
    "centred": LinearHead(WEIGHT, BIAS, center=torch.ones(6), normalize=True),
    "cosine": CosineHead(WEIGHT, 4.0),
    "ensemble": EnsembleHead([CosineHead(WEIGHT, 4.0), LinearHead(WEIGHT)]),
}
EVERY = pytest.mark.parametrize("kind", HEADS)


def probabilities(kind, X):
    with torch.no_grad():
        return HEADS[kind](torch.from_numpy(X)).softmax(dim=1).numpy()


@EVERY
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("target", [None, TARGET])
def test_probabilities_are_reweighted(kind, tau, target, blobs):
    X, y, X_test, _ = blobs
    clf = LogitAdjustedClassifier(HEADS[kind], tau=tau, target_prior=target).fit(X, y)
    odds = probabilities(kind, X_test) / PRIOR**tau
    odds *= 1 if target is None else np.array(target)
    np.testing.assert_allclose(
        clf.predict_proba(X_test), odds / odds.sum(axis=1, keepdims=True), rtol=1e-6
    )
    assert clf.tau_ == tau
    assert clf.selection_ is None


@EVERY
def test_tau_zero_is_the_base_and_so_is_the_training_prior_as_target(kind, blobs):
    X, y, X_test, _ = blobs
    expected = probabilities(kind, X_test)
    for options in ({"tau": 0.0}, {"tau": 1.0, "target_prior": PRIOR}):
        clf = LogitAdjustedClassifier(HEADS[kind], **options).fit(X, y)
        np.testing.assert_allclose(clf.predict_proba(X_test), expected, rtol=1e-6)


@EVERY
def test_a_linear_head_stays_linear_and_none_is_changed(kind, blobs):
    X, y, *_ = blobs
    head = HEADS[kind]
    before = {name: value.clone() for name, value in head.state_dict().items()}
    clf = LogitAdjustedClassifier(head).fit(X, y)
    assert type(clf.head_) is (
        LinearHead if isinstance(head, LinearHead) else AffineHead
    )
    assert all(value.equal(before[n]) for n, value in head.state_dict().items())
    assert head.classes is None
    np.testing.assert_array_equal(clf.base_head_.classes, clf.classes_)
    if kind == "bare":
        torch.testing.assert_close(
            clf.head_.bias.detach(), torch.from_numpy(-np.log(PRIOR))
        )


def test_the_default_base_is_the_linear_classifier_with_the_same_seed(blobs):
    X, y, X_test, _ = blobs
    clf = LogitAdjustedClassifier(tau=0.0, random_state=3).fit(X, y)
    base = LinearClassifier(random_state=3).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X_test), base.predict_proba(X_test))


def test_an_estimator_without_a_seed_is_a_base_too(blobs):
    X, y, X_test, _ = blobs
    base = NearestClassMeanClassifier("euclidean")
    clf = LogitAdjustedClassifier(base, tau=1.0).fit(X, y)
    odds = base.fit(X, y).predict_proba(X_test) / PRIOR
    np.testing.assert_allclose(
        clf.predict_proba(X_test), odds / odds.sum(axis=1, keepdims=True)
    )


def test_it_raises_the_balanced_accuracy_of_a_calibrated_base():
    # One feature; the log-odds of the two classes are known exactly.
    rng = np.random.default_rng(0)
    y, y_test = np.repeat([0, 1], [1900, 100]), np.repeat([0, 1], 2000)
    X, X_test = (rng.normal(2.0 * t - 1)[:, None] for t in (y, y_test))
    calibrated = LinearHead(
        torch.tensor([[-1.0], [1.0]]), torch.tensor([0.95, 0.05]).log()
    )
    right = [
        (LogitAdjustedClassifier(calibrated, tau=tau).fit(X, y).predict(X_test), tau)
        for tau in (0.0, 1.0)
    ]
    accuracy = {tau: (predicted == y_test).mean() for predicted, tau in right}
    # Balanced, the best that can be done is Φ(1) = 0.841.
    assert accuracy[0.0] < 0.72
    assert accuracy[1.0] == pytest.approx(0.841, abs=0.03)


@pytest.mark.parametrize(
    "target",
    [tuple(TARGET), np.array(TARGET), np.array(TARGET, np.float32), TARGET],
    ids=["tuple", "array", "single", "list"],
)
def test_a_target_may_be_any_array(target, blobs, tmp_path):
    X, y, X_test, _ = blobs
    clf = LogitAdjustedClassifier(HEADS["linear"], target_prior=target).fit(X, y)
    expected = LogitAdjustedClassifier(HEADS["linear"], target_prior=TARGET).fit(X, y)
    np.testing.assert_allclose(
        clf.predict_proba(X_test), expected.predict_proba(X_test), rtol=1e-6
    )
    clf.save_classifier(tmp_path / "head")
    loaded = load_classifier(tmp_path / "head")
    np.testing.assert_array_equal(loaded.target_prior, target)
    np.testing.assert_array_equal(
        loaded.fit(X, y).predict_proba(X_test), clf.predict_proba(X_test)
    )


def test_a_target_may_be_a_tensor_and_is_saved(blobs, tmp_path):
    X, y, X_test, _ = blobs
    target = torch.tensor(TARGET)
    clf = LogitAdjustedClassifier(HEADS["linear"], target_prior=target).fit(X, y)
    clf.save_classifier(tmp_path / "head")
    loaded = load_classifier(tmp_path / "head").fit(X, y)
    np.testing.assert_array_equal(
        loaded.predict_proba(X_test), clf.predict_proba(X_test)
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([0.5, 0.5], r"one share per class \(4\); got shape \[2\]"),
        ([0.1, 0.2, 0.3, 0.3], r"sum to 1; got a sum of 0\.9"),
        ([0.6, 0.3, 0.3, -0.2], r"the smallest share is -0\.2"),
        ([0.5, 0.3, 0.2, 0.0], "the smallest share is 0"),
        ([0.5, 0.3, 0.2, float("nan")], "got a sum of nan"),
        ([TARGET], r"one share per class \(4\); got shape \[1, 4\]"),
    ],
)
@pytest.mark.parametrize("tau", [1.0, "auto"])
def test_a_target_that_is_none_is_refused_before_anything_is_fitted(
    target, message, tau, blobs, monkeypatch
):
    X, y, *_ = blobs
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)

    def never(*_):
        raise AssertionError("fitted")

    monkeypatch.setattr(LinearClassifier, "fit", never)
    clf = LogitAdjustedClassifier(tau=tau, target_prior=target)
    with pytest.raises(ValueError, match=f"target_prior must .*{message}"):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


def test_a_target_follows_the_sorted_classes(blobs):
    X, y, X_test, _ = blobs
    names = np.array(["d", "c", "b", "a"])
    plain = LogitAdjustedClassifier(
        LinearHead(WEIGHT, classes=[0, 1, 2, 3]), target_prior=TARGET
    ).fit(X, y)
    named = LogitAdjustedClassifier(
        LinearHead(WEIGHT, classes=names), target_prior=TARGET[::-1]
    ).fit(X, names[y])
    np.testing.assert_allclose(
        named.predict_proba(X_test)[:, ::-1], plain.predict_proba(X_test)
    )


@pytest.mark.parametrize("tau", [-0.1, "best", None])
def test_another_tau_is_refused(tau, blobs):
    X, y, *_ = blobs
    with pytest.raises(ValueError, match="'tau' parameter of LogitAdjustedClassifier"):
        LogitAdjustedClassifier(HEADS["linear"], tau=tau).fit(X, y)


def test_one_example_per_class_and_two_classes():
    X = np.eye(2)
    clf = LogitAdjustedClassifier(random_state=0).fit(X, ["lynx", "cat"])
    assert clf.predict(X).tolist() == ["lynx", "cat"]
    assert clf.decision_function(X).shape == (2,)


def test_same_seed_same_bytes(blobs, tmp_path):
    X, y, *_ = blobs
    for name in ("first", "second"):
        base = LinearClassifier(epochs=1)
        clf = LogitAdjustedClassifier(base, random_state=0).fit(X, y)
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second
