"""The losses of the trained classifiers: each is used, with its options."""

import numpy as np
import pytest
import torch

from headtail import CosineClassifier, LinearClassifier, load_classifier
from headtail.losses import LOSSES, CrossEntropyLoss, DeferredReweightingLoss

KINDS = {"linear": LinearClassifier, "cosine": CosineClassifier}
BOTH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
OF_BOTH = [name for name in LOSSES if not name.startswith("ldam")]
LDAM = ["ldam", "ldam-drw"]
COUNTS = [200, 80, 30, 10]


def blobs(spread=1.5):
    rng = np.random.default_rng(0)
    centers = spread * rng.normal(size=(4, 10))
    y, y_test = np.repeat([0, 1, 2, 3], COUNTS), np.repeat([0, 1, 2, 3], 100)
    X, X_test = (centers[t] + rng.normal(size=(len(t), 10)) for t in (y, y_test))
    return X, y, X_test, y_test


def balanced_accuracy(clf, X, y):
    predicted = clf.predict(X)
    return np.mean([(predicted[y == c] == c).mean() for c in np.unique(y)])


@pytest.mark.parametrize(
    ("kind", "loss"),
    [("linear", loss) for loss in OF_BOTH] + [("cosine", loss) for loss in LOSSES],
)
def test_every_loss_trains_and_is_not_cross_entropy(kind, loss):
    X, y, X_test, y_test = blobs()
    clf = KINDS[kind](loss=loss, epochs=6, random_state=0).fit(X, y)
    assert balanced_accuracy(clf, X_test, y_test) > 0.8
    plain = KINDS[kind](epochs=6, random_state=0).fit(X, y)
    assert clf.head_.weight.equal(plain.head_.weight) == (loss == "cross-entropy")


@pytest.mark.parametrize("loss", LDAM)
def test_a_linear_head_has_no_cosine_for_ldam(loss):
    X, y, *_ = blobs()
    with pytest.raises(
        ValueError, match=f"for dot products; got '{loss}', .* Use CosineClassifier"
    ):
        LinearClassifier(loss=loss).fit(X, y)


@BOTH
def test_an_unknown_loss_or_option_is_refused(kind):
    X, y, *_ = blobs()
    with pytest.raises(ValueError, match=r"'loss' parameter of .* Got 'hinge'"):
        kind(loss="hinge").fit(X, y)
    with pytest.raises(
        ValueError,
        match=r"loss 'focal' has no option \['beta'\]; its options are \['gamma'\]",
    ):
        kind(loss="focal", loss_options={"beta": 0.9}).fit(X, y)
    with pytest.raises(ValueError, match=r"gamma must be .*-1"):
        kind(loss="focal", loss_options={"gamma": -1.0}).fit(X, y)
    with pytest.raises(ValueError, match=r"'loss_options' parameter of .* Got \[1\]"):
        kind(loss="focal", loss_options=[1]).fit(X, y)


@BOTH
@pytest.mark.parametrize(
    "loss", ["balanced-softmax", "class-weighted", "logit-adjusted", "lade"]
)
def test_losses_for_long_tails_raise_the_tail(kind, loss):
    X, y, X_test, _ = blobs(spread=0.5)
    plain, tailed = (
        kind("instance", loss=name, learning_rate=0.1, epochs=5, random_state=0)
        .fit(X, y)
        .predict_proba(X_test)[:, 3]
        for name in ("cross-entropy", loss)
    )
    assert tailed.mean() > plain.mean() + 0.02


@BOTH
def test_counts_of_the_loss_are_those_of_the_classes_in_order(kind, monkeypatch):
    X, y, *_ = blobs()
    given = []

    def spy(name, class_counts, options):
        given.append((name, class_counts.tolist(), options))
        return CrossEntropyLoss()

    monkeypatch.setattr("headtail.methods._trained.build_loss", spy)
    names = np.array(["d", "c", "b", "a"])[y]
    kind(loss="focal", loss_options={"gamma": 3.0}, epochs=1).fit(X, names)
    expected = ("focal", COUNTS[::-1], {"gamma": 3.0})
    assert given
    assert all(one == expected for one in given)


@BOTH
@pytest.mark.parametrize(
    ("loss", "options"),
    [("focal", {"gamma": 0.0}), ("logit-adjusted", {"tau": 0.0})],
)
def test_options_reach_the_loss(kind, loss, options):
    # With these options the losses are cross-entropy.
    X, y, *_ = blobs()
    plain = kind(epochs=2, random_state=0).fit(X, y).head_.weight
    same, other = (
        kind(loss=loss, loss_options=given, epochs=2, random_state=0).fit(X, y)
        for given in (options, None)
    )
    torch.testing.assert_close(same.head_.weight, plain)
    assert not torch.allclose(other.head_.weight, plain)


@pytest.mark.parametrize("loss", LDAM)
def test_ldam_fixes_the_scale_at_its_own(loss):
    X, y, *_ = blobs()
    clf = CosineClassifier(loss=loss, scale=4.0, epochs=2, random_state=0).fit(X, y)
    assert clf.head_.scale.item() == 30.0
    clf = CosineClassifier(
        loss=loss, loss_options={"scale": 12.5}, epochs=2, random_state=0
    ).fit(X, y)
    assert clf.head_.scale.item() == 12.5


def test_ldam_without_margin_is_cross_entropy_at_a_fixed_scale():
    X, y, *_ = blobs()
    weights = [
        CosineClassifier(
            loss="ldam", loss_options={"max_margin": margin}, epochs=2, random_state=0
        )
        .fit(X, y)
        .head_.weight
        for margin in (0.0, 0.5)
    ]
    # A rate of next to nothing keeps the scale of cross-entropy where it starts.
    start = CosineClassifier(
        scale=30.0, learning_rate=1e-12, epochs=1, random_state=0
    ).fit(X, y)
    assert not torch.allclose(weights[0], weights[1])
    torch.testing.assert_close(
        start.head_.weight,
        CosineClassifier(
            loss="ldam",
            loss_options={"max_margin": 0.0},
            learning_rate=1e-12,
            epochs=1,
            random_state=0,
        )
        .fit(X, y)
        .head_.weight,
    )


def test_deferred_weights_come_for_the_last_fifth():
    X, y, *_ = blobs()

    def weight(loss, **options):
        settings = {"epochs": 5, "random_state": 0, "loss": loss}
        clf = CosineClassifier(**settings, loss_options=options or None)
        return clf.fit(X, y).head_.weight

    assert weight("ldam-drw", start=1.0).equal(weight("ldam"))
    assert not weight("ldam-drw").equal(weight("ldam"))
    assert weight("ldam-drw").equal(weight("ldam-drw", start=0.8))
    assert not weight("ldam-drw").equal(weight("ldam-drw", start=0.5))


def test_the_switch_happens_where_the_time_says(monkeypatch):
    X, y, *_ = blobs()
    told = []
    advance = DeferredReweightingLoss.advance

    def spy(self, progress):
        advance(self, progress)
        told.append((progress, self.switched))

    monkeypatch.setattr(DeferredReweightingLoss, "advance", spy)
    CosineClassifier(loss="ldam-drw", epochs=5, random_state=0).fit(X, y)
    progress = [part for part, _ in told]
    assert progress == [step / len(told) for step in range(len(told))]
    assert len(told) == 5 * 32
    assert [switched for _, switched in told] == [part >= 0.8 for part in progress]


@pytest.mark.parametrize(
    "estimator",
    [
        LinearClassifier(loss="focal", loss_options={"gamma": 1.5}, epochs=1),
        CosineClassifier(
            loss="ldam-drw", loss_options={"start": 0.5, "scale": 20}, epochs=1
        ),
        LinearClassifier(loss="lade", loss_options={}, epochs=1),
    ],
    ids=["linear", "cosine", "empty"],
)
def test_options_come_back_from_a_file(estimator, tmp_path):
    X, y, *_ = blobs()
    fitted = estimator.set_params(random_state=0).fit(X, y)
    fitted.save_classifier(tmp_path / "head")
    loaded = load_classifier(tmp_path / "head")
    assert loaded.get_params() == fitted.get_params()
    again = loaded.fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


@BOTH
def test_the_options_given_are_never_changed(kind):
    X, y, *_ = blobs()
    options = {"gamma": 1.0}
    clf = kind(loss="focal", loss_options=options, epochs=1).fit(X, y)
    assert options == {"gamma": 1.0}
    assert clf.loss_options is options
