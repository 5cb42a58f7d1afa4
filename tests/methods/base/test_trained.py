"""The trained base classifiers: what they learn, and what must not change it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headtail import CosineClassifier, LinearClassifier

BOTH = pytest.mark.parametrize("kind", [LinearClassifier, CosineClassifier])


@pytest.fixture
def blobs():
    """Four overlapping classes of 200, 80, 30 and 10 examples; a balanced test set."""
    rng = np.random.default_rng(0)
    centers = 1.5 * rng.normal(size=(4, 10))
    y = np.repeat([0, 1, 2, 3], [200, 80, 30, 10])
    y_test = np.repeat([0, 1, 2, 3], 100)
    X, X_test = (centers[t] + rng.normal(size=(len(t), 10)) for t in (y, y_test))
    return X, y, X_test, y_test


def balanced_accuracy(clf, X, y):
    predicted = clf.predict(X)
    return np.mean([(predicted[y == c] == c).mean() for c in np.unique(y)])


def test_linear_reaches_logistic_regression(blobs):
    X, y, X_test, y_test = blobs
    reference = LogisticRegression(C=100, max_iter=1000).fit(X, y)
    ours = LinearClassifier(random_state=0).fit(X, y)
    expected = balanced_accuracy(reference, X_test, y_test)
    assert balanced_accuracy(ours, X_test, y_test) > expected - 0.03
    assert (ours.predict(X) == y).mean() > 0.99


def test_linear_head_takes_raw_features(blobs):
    X, y, X_test, _ = blobs
    # A shift and a scale of all features change the head, not what it says.
    plain = LinearClassifier(learning_rate=0.5, random_state=0).fit(X, y)
    moved = LinearClassifier(learning_rate=0.5, random_state=0).fit(1000 * X + 50, y)
    np.testing.assert_allclose(
        moved.predict_proba(1000 * X_test + 50), plain.predict_proba(X_test), atol=1e-6
    )
    # The head subtracts the centre itself: its bias is small wherever the data lie.
    np.testing.assert_allclose(moved.head_.center, 1000 * X.mean(axis=0) + 50)
    torch.testing.assert_close(moved.head_.bias, plain.head_.bias)
    assert not plain.head_.normalize
    logits = (X_test - X.mean(axis=0)) @ plain.head_.weight.detach().numpy().T
    logits += plain.head_.bias.detach().numpy()
    np.testing.assert_allclose(plain.decision_function(X_test), logits, rtol=1e-9)


def test_cosine_learns_and_ignores_lengths(blobs):
    X, y, X_test, y_test = blobs
    clf = CosineClassifier(random_state=0).fit(X, y)
    assert balanced_accuracy(clf, X_test, y_test) > 0.85
    np.testing.assert_allclose(
        clf.predict_proba(7 * X_test), clf.predict_proba(X_test), rtol=1e-9
    )
    lengths = np.linspace(0.1, 10, len(X))[:, None]
    scaled = CosineClassifier(random_state=0).fit(lengths * X, y)
    np.testing.assert_allclose(
        scaled.predict_proba(X_test), clf.predict_proba(X_test), rtol=1e-6, atol=1e-9
    )


def test_cosine_scale_is_learned_from_where_it_starts(blobs):
    X, y, *_ = blobs
    start = CosineClassifier(scale=4.0, learning_rate=1e-9, random_state=0).fit(X, y)
    assert start.head_.scale.item() == pytest.approx(4.0, abs=1e-5)
    learned = CosineClassifier(scale=4.0, random_state=0).fit(X, y)
    assert learned.head_.scale.item() > 4.5
    rows = learned.head_.weight.detach().norm(dim=1)
    torch.testing.assert_close(rows, torch.ones_like(rows))


@BOTH
def test_same_seed_same_weights_another_seed_others(kind, blobs):
    X, y, *_ = blobs
    first, second, other = (
        kind(epochs=2, random_state=seed).fit(X, y).head_.weight for seed in (1, 1, 2)
    )
    assert first.equal(second)
    assert not first.equal(other)


@BOTH
def test_class_sampling_raises_the_tail(kind):
    rng = np.random.default_rng(0)
    centers = 0.5 * rng.normal(size=(4, 10))
    y, y_test = np.repeat(np.arange(4), [200, 80, 30, 10]), np.repeat(np.arange(4), 100)
    X, X_test = (centers[t] + rng.normal(size=(len(t), 10)) for t in (y, y_test))
    shares = [
        kind(sampling, epochs=5, random_state=0).fit(X, y).predict_proba(X_test)[:, 3]
        for sampling in ("instance", "class")
    ]
    assert shares[1].mean() > shares[0].mean() + 0.01


@BOTH
@pytest.mark.parametrize(
    "sampling", ["progressive", "class-aware", "sqrt", "reversed", "over", "under"]
)
def test_every_sampling_trains(kind, sampling, blobs):
    X, y, X_test, y_test = blobs
    clf = kind(sampling, random_state=0).fit(X, y)
    assert balanced_accuracy(clf, X_test, y_test) > 0.8


@BOTH
def test_adamw_trains(kind, blobs):
    X, y, X_test, y_test = blobs
    clf = kind(optimizer="adamw", learning_rate=0.02, random_state=0).fit(X, y)
    assert balanced_accuracy(clf, X_test, y_test) > 0.8


def test_weight_decay_shrinks_the_weight(blobs):
    X, y, *_ = blobs
    free, decayed = (
        LinearClassifier(weight_decay=decay, random_state=0).fit(X, y).head_.weight
        for decay in (0.0, 1e-3)
    )
    assert decayed.norm() < 0.5 * free.norm()


@BOTH
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float16, torch.float32),
        (np.float32, torch.float32),
        (np.float64, torch.float64),
        (np.int64, torch.float64),
    ],
)
def test_dtype_follows_the_features(kind, dtype, expected, blobs):
    X, y, *_ = blobs
    clf = kind(epochs=1, random_state=0).fit((10 * X).astype(dtype), y)
    assert clf.head_.weight.dtype == expected


@BOTH
def test_read_only_memory_maps_are_taken_as_they_are(kind, blobs, tmp_path):
    X, y, *_ = blobs
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    ours = kind(epochs=1, random_state=0).fit(mapped, y)
    expected = kind(epochs=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(ours.predict_proba(mapped), expected.predict_proba(X))


@BOTH
def test_constant_features_and_bad_input(kind, blobs):
    X, y, *_ = blobs
    clf = kind(epochs=1, random_state=0).fit(np.ones_like(X), y)
    assert np.isfinite(clf.predict_proba(X)).all()
    with pytest.raises(ValueError, match="at least 2 classes in y; got 1 class"):
        kind().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match=r"1 rows hold NaN or inf \(rows \[2\]\)"):
        kind().fit(np.where(np.arange(len(X))[:, None] == 2, np.inf, X), y)
    with pytest.raises(ValueError, match=r"'epochs' parameter of .* Got 0 instead"):
        kind(epochs=0).fit(X, y)
    with pytest.raises(ValueError, match=r"'sampling' parameter of .* Got 'often'"):
        kind().set_params(sampling="often").fit(X, y)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@BOTH
def test_trains_where_the_features_are(kind, blobs):
    X, y, X_test, y_test = blobs
    clf = kind(random_state=0).fit(torch.from_numpy(X).cuda(), torch.from_numpy(y))
    assert clf.head_.weight.is_cuda
    assert balanced_accuracy(clf, X_test, y_test) > 0.8
