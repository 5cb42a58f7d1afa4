"""Fitted copies with other statistics and classes."""

import numpy as np
import pytest
import torch

from headtail import (
    CompositionalClassifier,
    CosineHead,
    CountAwareTransferClassifier,
    NearestClassMeanClassifier,
)
from headtail.methods._growth import recomposed
from headtail.statistics import ClassStatistics

COUNTS = np.array([40, 15, 8, 4])
KEPT = np.array([0, 2, 3])


def data():
    labels = np.repeat(np.arange(4), COUNTS)
    noise = np.random.default_rng(0).normal(size=(len(labels), 6))
    return 3 * np.eye(6)[labels] + noise, labels


def of_rows(statistics, rows):
    return ClassStatistics.from_tensors(
        *(tensor[torch.as_tensor(rows)] for tensor in statistics._tensors())
    )


def without(clf, rows):
    statistics = of_rows(clf.statistics_, rows)
    return recomposed(clf, statistics, clf.classes_[rows], np.asarray(rows))


def state(clf):
    return {name: tensor.clone() for name, tensor in clf.head_.state_dict().items()}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_nearest_means_without_a_class_are_those_of_the_others(metric):
    X, y = data()
    clf = NearestClassMeanClassifier(metric).fit(X, y)
    left = np.isin(y, KEPT)
    expected = NearestClassMeanClassifier(metric).fit(X[left], y[left])
    found = without(clf, KEPT)
    assert found.classes_.tolist() == KEPT.tolist()
    assert found.class_counts_.tolist() == COUNTS[KEPT].tolist()
    np.testing.assert_allclose(
        found.decision_function(X), expected.decision_function(X), atol=1e-9
    )


def test_composition_without_a_class_is_a_fit_on_the_others():
    X, y = data()
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
    whole = CosineHead(weight, classes=[0, 1, 2, 3])
    part = CosineHead(weight[torch.from_numpy(KEPT)], classes=KEPT)
    clf = CompositionalClassifier(whole, donors=(0, 20)).fit(X, y)
    left = np.isin(y, KEPT)
    expected = CompositionalClassifier(part, donors=(0, 20)).fit(X[left], y[left])
    found = without(clf, KEPT)
    assert found.trained_counts_.tolist() == COUNTS[KEPT].tolist()
    np.testing.assert_allclose(
        found.predict_proba(X), expected.predict_proba(X), atol=1e-9
    )


def test_count_aware_transfer_without_a_class_keeps_what_the_others_learned():
    X, y = data()
    clf = CountAwareTransferClassifier(random_state=0).fit(X, y)
    found = without(clf, KEPT)
    np.testing.assert_array_equal(found.weight_, clf.weight_[KEPT])
    np.testing.assert_array_equal(found.bias_, clf.bias_[KEPT])
    np.testing.assert_array_equal(found.trained_counts_, COUNTS[KEPT])
    found._check_loaded()
    # A new class takes the place, and goes again: what is left is the same.
    again = recomposed(
        clf, clf.statistics_, np.array([0, 9, 2, 3]), np.array([0, -1, 2, 3])
    )
    assert again.trained_counts_.tolist() == [40, 0, 8, 4]
    assert not again.weight_[1].any()
    torch.testing.assert_close(state(without(again, [0, 2, 3])), state(found))


@pytest.mark.parametrize(
    "clf",
    [
        NearestClassMeanClassifier(),
        CompositionalClassifier(CosineHead(torch.eye(4, 6)), donors=0),
        CountAwareTransferClassifier(random_state=0),
    ],
    ids=lambda clf: type(clf).__name__,
)
def test_the_estimator_stays_and_the_order_may_change(clf):
    X, y = data()
    clf.fit(X, y)
    clf.class_names_ = tuple("abcd")
    before = state(clf)
    turned = without(clf, [3, 1, 0, 2])
    assert turned.classes_.tolist() == [3, 1, 0, 2]
    assert not hasattr(turned, "class_names_")
    np.testing.assert_allclose(
        turned.predict_proba(X), clf.predict_proba(X)[:, [3, 1, 0, 2]], atol=1e-6
    )
    torch.testing.assert_close(state(clf), before, rtol=0, atol=0)
    assert (clf.class_names_, clf.classes_.tolist()) == (tuple("abcd"), [0, 1, 2, 3])


def test_two_classes_and_a_donor_must_be_left():
    X, y = data()
    clf = CompositionalClassifier(CosineHead(torch.eye(4, 6)), donors=(0, 20))
    clf.fit(X, y)
    with pytest.raises(ValueError, match="At least 2 classes must be left; got 1"):
        without(clf, [0])
    with pytest.raises(ValueError, match="trained on more than 20 examples must be"):
        without(clf, [1, 2, 3])
    assert clf.classes_.tolist() == [0, 1, 2, 3]
    empty = clf.statistics_.copy()
    empty.zero_counts[3] = empty.class_counts[3]
    with pytest.raises(ValueError, match="not all zero"):
        recomposed(clf, empty, clf.classes_, np.arange(4))


def test_count_aware_transfer_keeps_a_donor():
    X, y = data()
    clf = CountAwareTransferClassifier(random_state=0).fit(X, y)
    clf.mixture_ = {**clf.mixture_, "donors": 20}
    with pytest.raises(ValueError, match="trained on more than 20 examples must be"):
        without(clf, [1, 2, 3])
