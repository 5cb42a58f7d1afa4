"""Adding examples and classes to a count-aware classifier, without training."""

import numpy as np
import pytest

from headtail import EnsembleHead, LinearHead
from headtail.methods.transfer import count_aware_transfer
from tests.methods.transfer.count_aware import (
    LABELS,
    classifier,
    drawn,
    rebuilt_logits,
)

MEMBERS = pytest.mark.parametrize("members", ["linear", "composed", "both"])


def test_on_an_unfitted_estimator_partial_fit_is_fit(
    five_classes, held_out, fitted_once
):
    clf = classifier().partial_fit(*five_classes, classes=LABELS)
    np.testing.assert_array_equal(
        clf.predict_proba(held_out), fitted_once.predict_proba(held_out)
    )
    with pytest.raises(ValueError, match=r"only labels from classes; got \[60\]"):
        classifier().partial_fit(*five_classes, classes=LABELS[:4])


STAYS = (
    "map_",
    "center_",
    "mixture_",
    "selection_",
    "n_features_in_",
)


@MEMBERS
def test_more_examples_move_prototypes_and_prior_but_not_the_weights(
    five_classes, held_out, mixed, members
):
    clf = mixed(members=members, prior=0.5)
    before, logits = dict(clf.__dict__), clf.decision_function(held_out)
    y_new = np.repeat([60, 20], [50, 5])
    X_new = drawn(y_new, 4) + 1
    clf.partial_fit(X_new, y_new)
    assert clf.class_counts_.tolist() == [65, 30, 22, 8, 52]
    for name in (*STAYS, "trained_counts_", "weight_", "bias_"):
        np.testing.assert_array_equal(getattr(clf, name), before[name])
    seen = (
        np.concatenate([five_classes[0], X_new]),
        np.concatenate([five_classes[1], y_new]),
    )
    ours = clf.decision_function(held_out)
    expected = rebuilt_logits(clf, held_out, *seen)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)
    assert np.abs(ours - logits).max() > 0.1


@MEMBERS
def test_a_new_class_is_composed_and_the_linear_member_leaves(
    five_classes, held_out, mixed, members
):
    clf = mixed(members=members, prior=0.25)
    before = dict(clf.__dict__)
    y_new = np.repeat([45, 10, 60], [300, 2, 3])
    X_new = drawn(y_new, 4)
    clf.partial_fit(X_new, y_new)
    assert clf.classes_.tolist() == [*LABELS, 10, 45]
    assert clf.class_counts_.tolist() == [60, 30, 22, 8, 5, 2, 300]
    # 45 has 300 examples but no trained weight: it gives nothing.
    assert clf.trained_counts_.tolist() == [60, 30, 22, 8, 2, 0, 0]
    assert not clf.weight_[5:].any()
    np.testing.assert_array_equal(clf.weight_[:5], before["weight_"])
    np.testing.assert_array_equal(clf.bias_, [*before["bias_"], 0, 0])
    for name in STAYS:
        np.testing.assert_array_equal(getattr(clf, name), before[name])
    assert isinstance(clf.head_.head, LinearHead)
    seen = (
        np.concatenate([five_classes[0], X_new]),
        np.concatenate([five_classes[1], y_new]),
    )
    np.testing.assert_allclose(
        clf.decision_function(held_out),
        rebuilt_logits(clf, held_out, *seen),
        rtol=1e-7,
        atol=1e-7,
    )


@MEMBERS
def test_a_class_added_from_one_example_is_predicted_for_it(mixed, members):
    for label in range(90, 95):
        example = drawn([label], label)
        clf = mixed(members=members).partial_fit(example, [label])
        assert clf.predict(example).tolist() == [label]


def test_the_order_of_batches_changes_nothing_but_the_order_of_classes(mixed, held_out):
    y_new = np.repeat([5, 15], [3, 20])
    X_new = drawn(y_new, 3)
    once, bits = mixed(), mixed()
    once.partial_fit(X_new, y_new)
    for part in np.array_split(np.random.default_rng(2).permutation(23), 7):
        bits.partial_fit(X_new[part], y_new[part])
    order = [bits.classes_.tolist().index(label) for label in once.classes_]
    np.testing.assert_allclose(
        bits.predict_proba(held_out)[:, order],
        once.predict_proba(held_out),
        rtol=1e-7,
    )


def test_an_ensemble_stays_one_while_all_classes_have_weights(mixed):
    clf = mixed(members="both").partial_fit(drawn([20], 3), [20])
    assert isinstance(clf.head_.head, EnsembleHead)


@pytest.mark.parametrize(
    ("X", "y", "classes", "message"),
    [
        (np.full((1, 8), np.nan), [99], None, r"1 rows hold NaN or inf|must be finite"),
        (np.full((1, 8), np.inf), [20], None, "finite|NaN or inf"),
        (np.ones((1, 7)), [99], None, "X has 7 features, but .* is expecting 8"),
        (np.ones((1, 8)), ["lynx"], None, "of the kind of the known ones"),
        (np.ones((1, 8)), [99], [20, 30], r"only labels from classes; got \[99\]"),
        (np.ones((2, 8)), [99], None, "inconsistent numbers of samples"),
    ],
)
def test_a_refused_batch_changes_nothing(mixed, held_out, X, y, classes, message):
    clf = mixed()
    before, expected = dict(clf.__dict__), clf.predict_proba(held_out)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, y, classes)
    assert clf.__dict__ == before
    assert clf.statistics_.class_counts.tolist() == [60, 30, 22, 8, 2]
    np.testing.assert_array_equal(clf.predict_proba(held_out), expected)


def test_parameters_are_checked_before_anything_is_added(five_classes, mixed):
    clf = mixed().set_params(shrinkage=3)
    with pytest.raises(ValueError, match="'shrinkage' parameter"):
        clf.partial_fit(five_classes[0][:1], five_classes[1][:1])
    assert clf.class_counts_.tolist() == [60, 30, 22, 8, 2]


def test_a_failure_while_composing_takes_everything_back(mixed, monkeypatch):
    clf = mixed()
    before = dict(clf.__dict__)

    def fail(*_, **__):
        raise RuntimeError("halt")

    monkeypatch.setattr(count_aware_transfer, "mixed_weight", fail)
    with pytest.raises(RuntimeError, match="halt"):
        clf.partial_fit(drawn([99], 0), [99])
    assert clf.__dict__ == before


def test_a_refused_fit_leaves_the_former_one_whole(mixed, held_out):
    clf = mixed()
    before, expected = dict(clf.__dict__), clf.predict_proba(held_out)
    with pytest.raises(ValueError, match="hold NaN or inf"):
        clf.fit(np.full((4, 3), np.nan), list("abab"))
    assert clf.__dict__ == before
    np.testing.assert_array_equal(clf.predict_proba(held_out), expected)
