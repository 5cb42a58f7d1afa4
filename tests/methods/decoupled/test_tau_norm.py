"""τ-normalisation as an estimator: what it keeps, what it drops, what it refuses."""

import numpy as np
import pytest
import torch

from headtail import (
    CosineClassifier,
    LinearClassifier,
    TauNormalizedClassifier,
    load_classifier,
    tau_normalize,
)
from headtail.heads import CosineHead, LinearHead

WEIGHT = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
BIAS = torch.tensor([9.0, -9.0, 3.0, 0.0])


def head(**options):
    return LinearHead(WEIGHT, BIAS, **options)


def test_tau_zero_is_the_weights_without_bias(blobs):
    X, y, X_test, _ = blobs
    clf = TauNormalizedClassifier(head(), tau=0.0).fit(X, y)
    np.testing.assert_allclose(
        clf.decision_function(X_test), X_test @ WEIGHT.numpy().T, rtol=1e-9
    )
    assert clf.tau_ == 0.0
    assert clf.selection_ is None


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_the_weights_are_those_of_the_formula(tau, blobs):
    X, y, *_ = blobs
    clf = TauNormalizedClassifier(head(), tau=tau).fit(X, y)
    torch.testing.assert_close(
        clf.head_.weight.detach(), tau_normalize(WEIGHT, tau=tau)
    )
    assert type(clf.head_) is LinearHead
    assert clf.head_.bias is None or not clf.head_.bias.any()


def test_tau_one_gives_every_class_length_one(blobs):
    X, y, *_ = blobs
    clf = TauNormalizedClassifier(LinearClassifier(epochs=2), tau=1.0).fit(X, y)
    lengths = clf.head_.weight.detach().norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


@pytest.mark.parametrize("normalize", [False, True])
def test_the_centre_of_the_base_stays(normalize, blobs):
    X, y, X_test, _ = blobs
    center = torch.linspace(-3, 3, 6).double()
    base = head(center=center, normalize=normalize)
    clf = TauNormalizedClassifier(base, tau=1.0).fit(X, y)
    features = X_test - center.numpy()
    if normalize:
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    weight = WEIGHT.numpy() / np.linalg.norm(WEIGHT.numpy(), axis=1, keepdims=True)
    np.testing.assert_allclose(clf.decision_function(X_test), features @ weight.T)
    assert clf.base_head_.bias is None
    assert clf.base_head_.normalize is normalize


def test_the_default_base_is_the_linear_classifier_with_the_same_seed(blobs):
    X, y, *_ = blobs
    clf = TauNormalizedClassifier(tau=0.0, random_state=3).fit(X, y)
    base = LinearClassifier(random_state=3).fit(X, y)
    assert clf.head_.weight.equal(base.head_.weight)
    assert clf.head_.center.equal(base.head_.center)


@pytest.mark.parametrize("base", [CosineHead(WEIGHT), CosineClassifier(epochs=1)])
def test_a_cosine_base_is_refused(base, blobs):
    X, y, *_ = blobs
    message = "linear head, since in CosineHead the length"
    with pytest.raises(TypeError, match=message):
        TauNormalizedClassifier(base, tau=1.0, random_state=0).fit(X, y)
    with pytest.raises(TypeError, match=message):
        TauNormalizedClassifier(base, tau="auto", random_state=0).fit(
            X, y, validation=(X, y)
        )


@pytest.mark.parametrize("tau", [-0.1, "best", None, float("nan")])
def test_another_tau_is_refused(tau, blobs):
    X, y, *_ = blobs
    with pytest.raises(ValueError, match="'tau' parameter of TauNormalizedClassifier"):
        TauNormalizedClassifier(head(), tau=tau).fit(X, y)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1])
def test_another_fraction_is_refused(fraction, blobs):
    X, y, *_ = blobs
    with pytest.raises(ValueError, match="'validation_fraction' parameter of"):
        TauNormalizedClassifier(head(), validation_fraction=fraction).fit(X, y)


def test_a_layer_is_never_changed_and_its_rows_match_by_order(blobs):
    X, y, *_ = blobs
    layer = torch.nn.Linear(6, 4)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    clf = TauNormalizedClassifier(layer, tau=1.0).fit(X, y)
    assert all(value.equal(before[n]) for n, value in layer.state_dict().items())
    torch.testing.assert_close(
        clf.head_.weight.detach(), tau_normalize(before["weight"], tau=1.0)
    )


def test_a_row_missing_in_a_trained_head_is_refused(blobs):
    X, y, *_ = blobs
    base = LinearHead(WEIGHT[:3], classes=[0, 1, 3])
    with pytest.raises(ValueError, match=r"a row for every class in y; .* for \[2\]"):
        TauNormalizedClassifier(base, tau=1.0).fit(X, y)


def test_one_example_per_class_and_two_classes():
    X = np.eye(2)
    clf = TauNormalizedClassifier(tau=1.0, random_state=0).fit(X, ["lynx", "cat"])
    assert clf.predict(X).tolist() == ["lynx", "cat"]
    assert clf.predict_proba(X).shape == (2, 2)
    assert clf.decision_function(X).shape == (2,)


def test_same_seed_same_bytes_and_everything_comes_back(blobs, tmp_path):
    X, y, X_test, _ = blobs
    for name in ("first", "second"):
        clf = TauNormalizedClassifier(
            LinearClassifier(epochs=1), tau=0.7, random_state=0
        ).fit(X, y)
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second
    loaded = load_classifier(tmp_path / "first")
    assert (loaded.tau_, loaded.selection_) == (0.7, None)
    assert loaded.base_head_.weight.equal(clf.base_head_.weight)
    np.testing.assert_array_equal(
        loaded.predict_proba(X_test), clf.predict_proba(X_test)
    )
