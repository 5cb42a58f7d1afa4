"""Learnable weight scaling: one factor per class, all else fixed."""

import numpy as np
import pytest
import torch

from headtail import (
    CosineClassifier,
    LinearClassifier,
    WeightScaledClassifier,
    load_classifier,
)
from headtail.heads import AffineHead, CosineHead, EnsembleHead, LinearHead
from headtail.methods import _frozen

WEIGHT = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
BIAS = torch.tensor([1.0, -1.0, 0.3, 0.0])
HEADS = {
    "linear": LinearHead(WEIGHT, BIAS),
    "centred": LinearHead(WEIGHT, BIAS, center=torch.ones(6), normalize=True),
    "bare": LinearHead(WEIGHT),
    "cosine": CosineHead(WEIGHT, 4.0),
    "ensemble": EnsembleHead([CosineHead(WEIGHT, 4.0), LinearHead(WEIGHT)]),
}
EVERY = pytest.mark.parametrize("kind", HEADS)


def logits_of(head, X):
    with torch.no_grad():
        return head(torch.from_numpy(X)).numpy()


@EVERY
def test_scales_of_one_are_the_base(kind, blobs):
    X, y, X_test, _ = blobs
    clf = WeightScaledClassifier(
        HEADS[kind], learning_rate=1e-15, epochs=1, random_state=0
    ).fit(X, y)
    np.testing.assert_allclose(clf.scales_, np.ones(4), rtol=1e-9)
    np.testing.assert_allclose(
        clf.decision_function(X_test), logits_of(HEADS[kind], X_test), rtol=1e-9
    )


@EVERY
def test_the_whole_logit_is_scaled_and_the_bias_with_it(kind, blobs):
    X, y, X_test, _ = blobs
    clf = WeightScaledClassifier(HEADS[kind], epochs=2, random_state=0).fit(X, y)
    assert np.abs(clf.scales_ - 1).max() > 0.01
    np.testing.assert_allclose(
        clf.decision_function(X_test),
        clf.scales_ * logits_of(HEADS[kind], X_test),
        rtol=1e-9,
        atol=1e-12,
    )
    linear = isinstance(HEADS[kind], LinearHead)
    assert type(clf.head_) is (LinearHead if linear else AffineHead)


def test_a_base_without_bias_stays_without(blobs):
    X, y, *_ = blobs
    clf = WeightScaledClassifier(HEADS["bare"], epochs=1, random_state=0).fit(X, y)
    assert clf.head_.bias is None


@EVERY
def test_the_head_given_is_never_changed(kind, blobs):
    X, y, *_ = blobs
    head = HEADS[kind]
    before = {name: value.clone() for name, value in head.state_dict().items()}
    clf = WeightScaledClassifier(head, epochs=1, random_state=0).fit(X, y)
    assert all(value.equal(before[name]) for name, value in head.state_dict().items())
    if isinstance(clf.head_, AffineHead):
        inner = clf.head_.head.state_dict()
        assert all(value.equal(before[name]) for name, value in inner.items())
    assert all(p.grad is None for p in head.parameters())
    assert head.classes is None


def test_the_scales_are_those_that_class_balanced_training_wants(blobs):
    # Another optimiser, on the mean of the classes' losses, goes to the same place.
    X, y, *_ = blobs
    settings = {"learning_rate": 0.1, "epochs": 3, "random_state": 0}
    head = LinearClassifier(**settings).fit(X, y).head_
    z = torch.from_numpy(logits_of(head, X))
    labels = torch.from_numpy(y)
    scale = torch.ones(4, dtype=torch.float64, requires_grad=True)
    stepper = torch.optim.LBFGS([scale], max_iter=200, line_search_fn="strong_wolfe")

    def balanced_loss():
        stepper.zero_grad()
        log_proba = (scale * z).log_softmax(dim=1)
        loss = -sum(log_proba[labels == c, c].mean() for c in range(4)) / 4
        loss.backward()
        return loss

    stepper.step(balanced_loss)
    clf = WeightScaledClassifier(head, epochs=40, random_state=0).fit(X, y)
    np.testing.assert_allclose(clf.scales_, scale.detach().numpy(), atol=0.05)


def test_the_default_base_is_the_linear_classifier_with_the_same_seed(blobs):
    X, y, *_ = blobs
    clf = WeightScaledClassifier(epochs=1, random_state=3).fit(X, y)
    base = LinearClassifier(random_state=3).fit(X, y)
    scales = torch.from_numpy(clf.scales_)
    assert clf.head_.weight.equal(scales[:, None] * base.head_.weight)
    assert clf.head_.bias.equal(scales * base.head_.bias)


def test_logits_too_many_to_keep_give_the_same(blobs, monkeypatch):
    X, y, *_ = blobs
    kept = WeightScaledClassifier(HEADS["linear"], random_state=0).fit(X, y)
    monkeypatch.setattr(_frozen, "_MOST_FROZEN", 100)
    computed = WeightScaledClassifier(HEADS["linear"], random_state=0).fit(X, y)
    np.testing.assert_allclose(computed.scales_, kept.scales_, rtol=1e-9)


def test_logits_that_are_kept_come_block_by_block(blobs, monkeypatch):
    X, *_ = blobs
    features = torch.from_numpy(X)
    monkeypatch.setattr(
        _frozen,
        "row_blocks",
        lambda n, _: (slice(i, min(i + 7, n)) for i in range(0, n, 7)),
    )
    of_rows = _frozen.frozen_logits(HEADS["linear"], features)
    rows = torch.tensor([100, 3, 3, 123])
    assert not of_rows(rows).requires_grad
    torch.testing.assert_close(of_rows(rows), HEADS["linear"](features[rows]).detach())


def test_rows_match_by_value_and_a_missing_row_is_refused(blobs):
    X, y, X_test, _ = blobs
    order = [2, 0, 3, 1]
    named = LinearHead(WEIGHT[order], BIAS[order], classes=np.array(order))
    ours, expected = (
        WeightScaledClassifier(head, epochs=1, random_state=0).fit(X, y)
        for head in (named, HEADS["linear"])
    )
    np.testing.assert_allclose(
        ours.predict_proba(X_test), expected.predict_proba(X_test), rtol=1e-9
    )
    with pytest.raises(ValueError, match=r"a row for every class in y; .* for \[3\]"):
        WeightScaledClassifier(LinearHead(WEIGHT[:3], classes=[0, 1, 2])).fit(X, y)


def test_half_precision_features_and_heads_are_worked_on_in_single(blobs):
    X, y, *_ = blobs
    half = LinearHead(WEIGHT.half(), BIAS.half())
    clf = WeightScaledClassifier(half, epochs=1, random_state=0)
    clf.fit(X.astype(np.float16), y)
    assert clf.head_.weight.dtype == torch.float32
    assert clf.scales_.dtype == np.float32


def test_one_example_per_class_and_two_classes():
    X = np.eye(2)
    clf = WeightScaledClassifier(random_state=0).fit(X, ["lynx", "cat"])
    assert clf.predict(X).tolist() == ["lynx", "cat"]
    assert clf.scales_.shape == (2,)


@pytest.mark.parametrize(
    "base", [LinearClassifier(epochs=1), CosineClassifier(epochs=1)]
)
def test_same_seed_same_bytes_and_everything_comes_back(base, blobs, tmp_path):
    X, y, X_test, _ = blobs
    for name in ("first", "second"):
        clf = WeightScaledClassifier(base, epochs=1, random_state=0).fit(X, y)
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second
    loaded = load_classifier(tmp_path / "first")
    np.testing.assert_array_equal(loaded.scales_, clf.scales_)
    np.testing.assert_array_equal(
        loaded.predict_proba(X_test), clf.predict_proba(X_test)
    )
