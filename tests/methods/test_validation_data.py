"""The data that tau="auto" is chosen on: what is taken, and what is refused."""

import numpy as np
import pytest
import torch

from headtail import (
    LinearClassifier,
    LinearHead,
    LogitAdjustedClassifier,
    TauNormalizedClassifier,
)

KINDS = {"tau-norm": TauNormalizedClassifier, "adjusted": LogitAdjustedClassifier}
BOTH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
NAMES = np.array(["ant", "bee", "cat", "dog"])
BASE = LinearClassifier(learning_rate=0.3, epochs=3)


def blobs(counts, seed):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(4), counts)
    X = np.eye(4, 6)[y] + 0.8 * rng.normal(size=(len(y), 6))
    return X, NAMES[y]


TRAIN, HELD = blobs([90, 30, 10, 3], 0), blobs([12, 9, 7, 5], 1)


@BOTH
def test_no_class_to_hold_out_is_an_error(kind):
    X, y = blobs([2, 2, 1, 1], 0)
    clf = kind(BASE, tau="auto")
    with pytest.raises(
        ValueError,
        match=r"tau='auto' .* to hold out 0\.2 of it; the largest has 2\. Pass valid",
    ):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")
    assert clf.fit(X, y, validation=HELD).selection_.n_samples == 33


@BOTH
def test_validation_that_lacks_classes_warns_and_still_chooses(kind):
    X, y = HELD
    some = np.isin(y, ["ant", "cat"])
    with pytest.warns(
        UserWarning, match=r"lack 2 of 4 classes \(\['bee', 'dog'\]\); the choice"
    ) as caught:
        clf = kind(BASE, tau="auto", random_state=0).fit(
            *TRAIN, validation=(X[some], y[some])
        )
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert clf.selection_.missing_classes.tolist() == ["bee", "dog"]
    assert clf.selection_.n_samples == some.sum()
    recalls = []
    for tau in (c["tau"] for c in clf.selection_.candidates):
        own = kind(BASE, tau=tau, random_state=0).fit(*TRAIN).predict(X)
        recalls.append([(own[y == c] == c).mean() for c in ("ant", "cat")])
    np.testing.assert_allclose(clf.selection_.scores, np.mean(recalls, axis=1))
    assert clf.predict_proba(X).shape == (33, 4)


@BOTH
def test_validation_with_unknown_classes_is_refused(kind):
    X, y = HELD
    foreign = np.where(y == "dog", "fox", y)
    clf = kind(BASE, tau="auto")
    with pytest.raises(
        ValueError, match=r"must occur in the training data; \['fox'\] do not"
    ):
        clf.fit(*TRAIN, validation=(X, foreign))
    with pytest.raises(ValueError, match=r"\[0, 1, 2, 3\] do not"):
        clf.fit(*TRAIN, validation=(X, np.arange(33) % 4))
    assert not hasattr(clf, "classes_")


@BOTH
@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        ("validation.npz", TypeError, r"validation must be a pair \(X, y\); got str"),
        (HELD[0], TypeError, "a pair .* got ndarray"),
        (HELD[:1], TypeError, "a pair .* got tuple"),
        ((*HELD, HELD[0]), TypeError, "a pair .* got tuple"),
        ((HELD[0][:, :5], HELD[1]), ValueError, "X has 5 features"),
        ((HELD[0][:5], HELD[1]), ValueError, "inconsistent numbers of samples"),
        ((HELD[0] * np.nan, HELD[1]), ValueError, "must be finite"),
    ],
    ids=["path", "array", "one", "three", "width", "length", "nan"],
)
def test_validation_that_is_no_data_is_refused(kind, validation, error, message):
    with pytest.raises(error, match=message):
        kind(BASE, tau="auto", random_state=0).fit(*TRAIN, validation=validation)


@BOTH
def test_validation_without_a_choice_is_refused(kind):
    with pytest.raises(ValueError, match=r"tau='auto' is chosen on; tau is 1\.0"):
        kind(BASE, tau=1.0).fit(*TRAIN, validation=HELD)


@BOTH
def test_validation_may_be_tensors_or_a_list(kind):
    X, y = TRAIN
    labels, held = (np.searchsorted(NAMES, part) for part in (y, HELD[1]))
    arrays = kind(BASE, tau="auto", random_state=0).fit(
        X, labels, validation=(HELD[0], held)
    )
    tensors = kind(BASE, tau="auto", random_state=0).fit(
        torch.from_numpy(X),
        torch.from_numpy(labels),
        validation=[torch.from_numpy(HELD[0]), torch.from_numpy(held)],
    )
    np.testing.assert_array_equal(tensors.selection_.scores, arrays.selection_.scores)


def test_a_target_prior_has_no_say_in_the_choice():
    # Candidates are scored by mean class recall, in which all classes weigh alike.
    target = [0.7, 0.1, 0.1, 0.1]
    plain, aimed = (
        LogitAdjustedClassifier(BASE, tau="auto", target_prior=prior, random_state=0)
        for prior in (None, target)
    )
    for clf in (plain, aimed):
        clf.fit(*TRAIN, validation=HELD)
    np.testing.assert_array_equal(aimed.selection_.scores, plain.selection_.scores)
    shift = aimed.head_.bias.detach() - plain.head_.bias.detach()
    np.testing.assert_allclose(shift, np.log(target), rtol=1e-9)


def test_a_trained_head_inside_the_base_is_optimistic_too():
    inner = LogitAdjustedClassifier(LinearHead(torch.eye(4, 6).double()), tau=0.0)
    with pytest.warns(UserWarning, match=r"may have been trained on.*optimistic"):
        clf = LogitAdjustedClassifier(inner, tau="auto", random_state=0).fit(*TRAIN)
    assert clf.selection_.optimistic is True
