"""Causal norm as an estimator: its training, its mean direction, its alpha."""

import math

import numpy as np
import pytest
import torch

from headtail import CausalNormClassifier, causal_norm_logits, load_classifier
from headtail.heads import CausalNormHead
from headtail.methods import _trained
from headtail.methods._training import train


def quick(alpha=1.5, **options):
    return CausalNormClassifier(alpha, **{"epochs": 2, "random_state": 0, **options})


def test_alpha_zero_gives_the_logits_of_training(blobs):
    X, y, X_test, _ = blobs
    clf = quick(0.0).fit(X, y)
    expected = causal_norm_logits(torch.from_numpy(X_test), clf.head_.weight.detach())
    np.testing.assert_allclose(clf.decision_function(X_test), expected, rtol=1e-9)


def test_alpha_changes_the_use_and_not_the_training(blobs):
    X, y, X_test, _ = blobs
    plain, removed = quick(0.0).fit(X, y), quick(2.0).fit(X, y)
    assert plain.head_.weight.equal(removed.head_.weight)
    assert plain.head_.direction.equal(removed.head_.direction)
    assert (plain.head_.alpha, removed.head_.alpha) == (0.0, 2.0)
    expected = causal_norm_logits(
        torch.from_numpy(X_test),
        removed.head_.weight.detach(),
        direction=removed.head_.direction,
        alpha=2.0,
    )
    np.testing.assert_allclose(removed.decision_function(X_test), expected, rtol=1e-9)
    assert not np.allclose(removed.predict_proba(X_test), plain.predict_proba(X_test))


def spied(monkeypatch):
    """Keep what every step of training was shown, and its logits."""
    seen = []

    def spy(logits, parameters, labels, **options):
        def watched(rows):
            z = logits(rows)
            seen.append((rows.clone(), parameters[0].detach().clone(), z.detach()))
            return z

        train(watched, parameters, labels, **options)

    monkeypatch.setattr(_trained, "train", spy)
    return seen


def test_the_direction_is_the_running_sum_of_the_batch_means(blobs, monkeypatch):
    X, y, *_ = blobs
    seen = spied(monkeypatch)
    clf = quick().fit(X, y)
    running = np.zeros(6)
    for rows, _, _ in seen:
        running = 0.9 * running + X[rows.numpy()].mean(axis=0)
    np.testing.assert_allclose(clf.head_.direction, running, rtol=1e-9)


def test_training_sees_the_plain_logits_and_no_bias(blobs, monkeypatch):
    X, y, *_ = blobs
    seen = spied(monkeypatch)
    clf = quick(3.0).fit(X, y)
    for rows, weight, z in seen:
        expected = causal_norm_logits(torch.from_numpy(X)[rows], weight)
        torch.testing.assert_close(z, expected)
    assert [name for name, _ in clf.head_.named_parameters()] == ["weight"]


def test_the_weight_starts_uniform_and_small(blobs, monkeypatch):
    X, y, *_ = blobs
    seen = spied(monkeypatch)
    wide = np.tile(X, (1, 50))
    quick(epochs=1).fit(wide, y)
    start = seen[0][1]
    limit = 1 / math.sqrt(300)
    assert start.abs().max() <= limit
    assert start.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)
    assert start.mean().abs() < 0.1 * limit


def test_weight_decay_reaches_the_weight(blobs):
    X, y, *_ = blobs
    free, decayed = (
        quick(weight_decay=decay, epochs=5).fit(X, y).head_.weight
        for decay in (0.0, 1e-1)
    )
    assert decayed.norm() < 0.9 * free.norm()


@pytest.mark.parametrize(
    ("asked", "n_features", "used"), [(None, 6, 2), (None, 5, 1), (3, 6, 3), (1, 6, 1)]
)
def test_without_a_number_features_are_halved_where_they_can(
    asked, n_features, used, blobs
):
    X, y, *_ = blobs
    clf = quick(n_chunks=asked, epochs=1).fit(X[:, :n_features], y)
    assert clf.head_.n_chunks == used
    assert clf.n_chunks == asked


def test_chunks_that_do_not_divide_the_features_are_refused(blobs, monkeypatch):
    X, y, *_ = blobs
    seen = spied(monkeypatch)
    with pytest.raises(ValueError, match=r"n_chunks must divide .*6 .*got 4"):
        quick(n_chunks=4).fit(X, y)
    assert seen == []


def test_it_learns(blobs):
    X, y, X_test, y_test = blobs
    # Far from each other, as seen from the origin.
    centers = 3 * np.eye(4, 6)
    X, X_test = X + centers[y], X_test + centers[y_test]
    clf = CausalNormClassifier(0.0, random_state=0).fit(X, y)
    assert (clf.predict(X) == y).mean() > 0.9
    recalls = [(clf.predict(X_test)[y_test == c] == c).mean() for c in range(4)]
    assert np.mean(recalls) > 0.7


def test_removing_the_common_direction_favours_the_tail():
    # The classes share a large common part, which leans to the head class.
    rng = np.random.default_rng(0)
    y, y_test = np.repeat([0, 1], [190, 10]), np.repeat([0, 1], 200)
    means = np.array([[2.0, 0.6, 0.0, 0.0], [2.0, -0.6, 0.0, 0.0]])
    X, X_test = (means[t] + 0.7 * rng.normal(size=(len(t), 4)) for t in (y, y_test))
    shares = [
        quick(alpha, n_chunks=1, epochs=10).fit(X, y).predict_proba(X_test)[:, 1].mean()
        for alpha in (0.0, 1.5)
    ]
    assert shares[1] > shares[0] + 0.02


def test_candidates_of_alpha_come_from_one_fit(blobs):
    X, y, X_test, _ = blobs
    clf = quick().fit(X, y)
    weight = clf.head_.weight.detach().clone()
    candidates = [{"alpha": 0.0}, {}, {"alpha": 3.0}]
    predicted = clf._predict_candidates(torch.from_numpy(X_test), candidates)
    for row, alpha in zip(predicted, (0.0, 1.5, 3.0), strict=True):
        own = quick(alpha).fit(X, y)
        np.testing.assert_array_equal(clf.classes_[row.numpy()], own.predict(X_test))
    assert (clf.alpha, clf.head_.alpha) == (1.5, 1.5)
    assert clf.head_.weight.equal(weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, r"'alpha' parameter of .* Got -1\.0"),
        ({"n_chunks": 0}, "'n_chunks' parameter of .* Got 0"),
        ({"n_chunks": 2.0}, r"'n_chunks' parameter of .* Got 2\.0"),
        ({"epochs": 0}, "'epochs' parameter of .* Got 0"),
    ],
)
def test_other_settings_are_refused(options, message, blobs):
    X, y, *_ = blobs
    with pytest.raises(ValueError, match=message):
        quick(**options).fit(X, y)


def test_infinite_alpha_is_refused_before_training(blobs, monkeypatch):
    X, y, *_ = blobs
    seen = spied(monkeypatch)
    with pytest.raises(ValueError, match="alpha"):
        quick(math.inf).fit(X, y)
    assert seen == []


def test_one_example_per_class_two_classes_and_zero_rows():
    X = np.eye(2)
    clf = CausalNormClassifier(random_state=0).fit(X, ["lynx", "cat"])
    assert clf.predict_proba(X).shape == (2, 2)
    zeros = CausalNormClassifier(random_state=0).fit(np.zeros((4, 2)), [0, 0, 1, 2])
    assert np.isfinite(zeros.predict_proba(X)).all()


def test_same_seed_same_bytes_and_everything_comes_back(blobs, tmp_path):
    X, y, X_test, _ = blobs
    names = np.array(["d", "c", "b", "a"])[y]
    for name in ("first", "second"):
        clf = quick().fit(X, names)
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second
    assert not quick(random_state=1).fit(X, names).head_.weight.equal(clf.head_.weight)
    loaded = load_classifier(tmp_path / "first")
    assert type(loaded.head_) is CausalNormHead
    assert loaded.head_.direction.equal(clf.head_.direction)
    np.testing.assert_array_equal(
        loaded.predict_proba(X_test), clf.predict_proba(X_test)
    )
