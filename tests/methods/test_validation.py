"""tau="auto": chosen by mean recall on held-out data, on record, never on the test."""

import numpy as np
import pytest
import torch

from headtail import (
    LinearClassifier,
    LogitAdjustedClassifier,
    TauNormalizedClassifier,
    load_classifier,
)
from headtail.heads import LinearHead
from headtail.samplers import hold_out

KINDS = {"tau-norm": TauNormalizedClassifier, "adjusted": LogitAdjustedClassifier}
BOTH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
GRIDS = {
    TauNormalizedClassifier: np.arange(21) / 10,
    LogitAdjustedClassifier: np.arange(31) / 10,
}
COUNTS = [90, 30, 10, 3]
NAMES = np.array(["ant", "bee", "cat", "dog"])
BASE = LinearClassifier(learning_rate=0.3, epochs=3)


def blobs(counts, seed):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(4), counts)
    X = np.eye(4, 6)[y] + 0.8 * rng.normal(size=(len(y), 6))
    return X, NAMES[y]


TRAIN, HELD = blobs(COUNTS, 0), blobs([12, 9, 7, 5], 1)


def mean_recall(clf, X, y):
    predicted = clf.predict(X)
    return np.mean([(predicted[y == c] == c).mean() for c in np.unique(y)])


def by_hand(kind, base, train, held):
    """Fit every value of the grid on its own."""
    return [
        mean_recall(kind(base, tau=float(tau), random_state=0).fit(*train), *held)
        for tau in GRIDS[kind]
    ]


@BOTH
def test_given_data_choose_by_mean_recall(kind):
    clf = kind(BASE, tau="auto", random_state=0).fit(*TRAIN, validation=HELD)
    scores = by_hand(kind, BASE, TRAIN, HELD)
    record = clf.selection_
    np.testing.assert_allclose(record.scores, scores)
    assert [c["tau"] for c in record.candidates] == GRIDS[kind].tolist()
    assert all(list(c) == ["tau"] for c in record.candidates)
    assert record.best_index == int(np.argmax(scores))
    assert clf.tau_ == record.best["tau"] == GRIDS[kind][np.argmax(scores)]
    assert record.data == "the validation data given to fit"
    assert record.n_samples == 33
    assert record.missing_classes.tolist() == []
    assert record.optimistic is False
    assert len(set(scores)) > 2


@BOTH
def test_a_fifth_of_the_training_data_is_held_out_class_by_class(kind):
    X, y = TRAIN
    clf = kind(BASE, tau="auto", random_state=0).fit(X, y)
    # The seed of the held-out part is the first number that the state gives.
    seed = np.random.RandomState(0).randint(2**31 - 1)
    positions = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    held = hold_out(positions, 0.2, torch.Generator().manual_seed(int(seed))).numpy()
    scores = by_hand(kind, BASE, (X[~held], y[~held]), (X[held], y[held]))
    np.testing.assert_allclose(clf.selection_.scores, scores)
    assert clf.tau_ == GRIDS[kind][np.argmax(scores)]
    assert clf.selection_.n_samples == 18 + 6 + 2 + 1
    assert clf.selection_.data == "0.2 of the training data, held out"
    assert clf.selection_.optimistic is False


@BOTH
def test_what_was_chosen_is_fitted_on_all_training_data(kind):
    X, y = TRAIN
    for extra in ({}, {"validation": HELD}):
        clf = kind(BASE, tau="auto", random_state=0).fit(X, y, **extra)
        fixed = kind(BASE, tau=clf.tau_, random_state=0).fit(X, y)
        np.testing.assert_array_equal(clf.predict_proba(X), fixed.predict_proba(X))
        assert clf.class_counts_.tolist() == COUNTS
        assert fixed.selection_ is None
        assert clf.tau == "auto"


@BOTH
@pytest.mark.parametrize("given", [True, False])
def test_the_base_is_fitted_no_more_than_is_needed(kind, given, monkeypatch):
    sizes = []
    fit = LinearClassifier.fit

    def counting(self, X, y):
        sizes.append(len(X))
        return fit(self, X, y)

    monkeypatch.setattr(LinearClassifier, "fit", counting)
    extra = {"validation": HELD} if given else {}
    kind(BASE, tau="auto", random_state=0).fit(*TRAIN, **extra)
    assert sizes == ([133] if given else [133 - 27, 133])


@BOTH
def test_the_share_held_out_can_be_set(kind):
    clf = kind(BASE, tau="auto", validation_fraction=0.5, random_state=0).fit(*TRAIN)
    assert clf.selection_.n_samples == 45 + 15 + 5 + 2
    assert clf.selection_.data == "0.5 of the training data, held out"


@BOTH
def test_classes_too_small_to_hold_out_are_missing_from_the_choice(kind):
    X, y = blobs([40, 20, 2, 1], 0)
    clf = kind(BASE, tau="auto", random_state=0).fit(X, y)
    assert clf.selection_.missing_classes.tolist() == ["cat", "dog"]
    assert clf.selection_.n_samples == 12
    assert np.isfinite(clf.selection_.scores).all()


@BOTH
def test_a_trained_head_without_validation_is_optimistic(kind):
    head = LinearHead(torch.eye(4, 6).double(), torch.zeros(4), classes=NAMES)
    with pytest.warns(UserWarning, match="may have been trained on.*optimistic") as w:
        clf = kind(head, tau="auto", random_state=0).fit(*TRAIN)
    assert len(w) == 1
    assert w[0].filename == __file__
    assert clf.selection_.optimistic is True


@BOTH
def test_a_trained_head_with_data_of_its_own_is_not_optimistic(kind):
    head = LinearHead(torch.eye(4, 6).double(), torch.zeros(4), classes=NAMES)
    clf = kind(head, tau="auto", random_state=0).fit(*TRAIN, validation=HELD)
    assert clf.selection_.optimistic is False


@BOTH
@pytest.mark.parametrize("base", ["head", "layer"])
def test_a_trained_head_is_never_changed(kind, base):
    layer = torch.nn.Linear(6, 4)
    head = LinearHead(layer.weight, layer.bias) if base == "head" else layer
    before = {name: value.clone() for name, value in head.state_dict().items()}
    kind(head, tau="auto").fit(*TRAIN, validation=HELD)
    assert all(value.equal(before[n]) for n, value in head.state_dict().items())


@BOTH
def test_what_is_used_later_has_no_say(kind):
    # Nothing but `fit` sees data, and predicting changes nothing.
    clf = kind(BASE, tau="auto", random_state=0).fit(*TRAIN)
    before = clf.selection_.scores.copy(), clf.tau_
    first = clf.predict_proba(HELD[0])
    clf.predict(10 * HELD[0])
    np.testing.assert_array_equal(clf.predict_proba(HELD[0]), first)
    np.testing.assert_array_equal(clf.selection_.scores, before[0])
    assert clf.tau_ == before[1]


@BOTH
def test_the_seed_of_the_part_is_that_of_the_estimator(kind):
    first, same, other = (
        kind(BASE, tau="auto", random_state=seed).fit(*TRAIN).selection_.scores
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@BOTH
@pytest.mark.parametrize("counts", [COUNTS, [40, 20, 2, 1]])
def test_the_record_comes_back_from_a_file(kind, counts, tmp_path):
    X, y = blobs(counts, 0)
    clf = kind(BASE, tau="auto", random_state=0).fit(X, y)
    clf.save_classifier(tmp_path / "head")
    ours, theirs = load_classifier(tmp_path / "head"), clf
    assert ours.tau == "auto"
    assert ours.tau_ == theirs.tau_
    for name in ("candidates", "best_index", "data", "n_samples", "optimistic"):
        assert getattr(ours.selection_, name) == getattr(theirs.selection_, name)
    np.testing.assert_array_equal(ours.selection_.scores, theirs.selection_.scores)
    missing = ours.selection_.missing_classes
    assert missing.dtype == theirs.selection_.missing_classes.dtype
    assert missing.tolist() == theirs.selection_.missing_classes.tolist()
    assert ours.selection_.best == theirs.selection_.best


@BOTH
def test_fitting_again_forgets_the_choice(kind):
    clf = kind(BASE, tau="auto", random_state=0).fit(*TRAIN)
    assert clf.set_params(tau=0.5).fit(*TRAIN).selection_ is None
    assert clf.tau_ == 0.5


@BOTH
def test_candidates_of_another_method_are_those_of_the_grid(kind):
    clf = kind(BASE, tau=1.0, random_state=0).fit(*TRAIN)
    features = torch.from_numpy(HELD[0])
    predicted = clf._predict_candidates(features, [{"tau": 0.0}, {}, {"tau": 2.0}])
    for row, tau in zip(predicted, (0.0, 1.0, 2.0), strict=True):
        own = kind(BASE, tau=tau, random_state=0).fit(*TRAIN)
        np.testing.assert_array_equal(clf.classes_[row.numpy()], own.predict(HELD[0]))
