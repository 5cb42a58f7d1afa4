import numpy as np
import pytest
import torch

from headtail import (
    AlphaNetClassifier,
    CompositionalClassifier,
    LinearClassifier,
    LinearHead,
    MetaModelNetClassifier,
)
from headtail.analysis import class_gains, gains_by_distance


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    y = np.repeat(["cat", "dog", "elk", "lynx", "wolf"], [60, 40, 30, 9, 4])
    centers = rng.normal(size=(5, 6))
    labels = np.unique(y)
    X = centers[np.searchsorted(labels, y)] + rng.normal(size=(len(y), 6))
    y_test = np.repeat(labels[[0, 1, 3, 3, 4]], 7)
    X_test = centers[np.searchsorted(labels, y_test)] + rng.normal(size=(35, 6))
    return X, y, X_test, y_test


@pytest.fixture(scope="module")
def alphanet(data):
    weight = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).double()
    base = LinearHead(weight, classes=np.unique(data[1]))
    clf = AlphaNetClassifier(base, n_neighbors=2, epochs=5, random_state=0)
    return clf.fit(*data[:2], validation=data[:2])


def recalls(head, X, y, classes):
    with torch.no_grad():
        predicted = classes[head(torch.from_numpy(X)).argmax(dim=1).numpy()]
    return [
        (predicted[y == label] == label).mean() if (y == label).any() else np.nan
        for label in classes
    ]


def test_gains_are_differences_of_recalls_of_all_classes(alphanet, data):
    result = class_gains(alphanet, *data[2:])
    classes = alphanet.classes_
    after = recalls(alphanet.head_, *data[2:], classes)
    before = recalls(alphanet.base_head_, *data[2:], classes)
    np.testing.assert_allclose(result.gains, np.subtract(after, before))
    assert np.isnan(result.gains[2])  # no elk in the test data
    assert np.nanmax(np.abs(result.gains)) > 0
    assert result.n_samples.tolist() == [7, 7, 0, 14, 7]
    assert result.class_counts.tolist() == [60, 40, 30, 9, 4]
    assert result.classes.tolist() == classes.tolist()


def test_gains_of_metamodelnet_are_those_over_the_plain_classifier(data):
    clf = MetaModelNetClassifier(n_models=5, steps=3, learning_rate=0.1, random_state=0)
    clf.fit(*data[:2])
    gains = class_gains(clf, *data[2:]).gains
    after = recalls(clf.head_, *data[2:], clf.classes_)
    before = recalls(clf.plain_head_, *data[2:], clf.classes_)
    np.testing.assert_allclose(gains, np.subtract(after, before))


def test_few_shot_classes_stand_beside_their_nearest_neighbours(alphanet, data):
    X, y = data[:2]
    result = gains_by_distance(alphanet, *data[2:])
    assert result.classes.tolist() == ["lynx", "wolf"]
    means = {label: X[y == label].mean(axis=0) for label in alphanet.classes_}
    nearest = [
        min(np.linalg.norm(means[few] - means[base]) for base in ("cat", "dog", "elk"))
        for few in ("lynx", "wolf")
    ]
    np.testing.assert_allclose(result.distances, nearest)
    every = class_gains(alphanet, *data[2:])
    assert result.gains.tolist() == every.gains[3:].tolist()
    assert result.n_samples.tolist() == [14, 7]


def composed(data, base_classes=5, **parameters):
    labels = np.unique(data[1])[:base_classes]
    weight = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).double()
    base = LinearHead(weight[:base_classes], classes=labels)
    return CompositionalClassifier(base, **parameters).fit(*data[:2])


def test_gains_of_knowledge_transfer_are_those_over_the_trained_weights(data):
    clf = composed(data)
    result = class_gains(clf, *data[2:])
    after = recalls(clf.head_, *data[2:], clf.classes_)
    before = recalls(clf.base_head_, *data[2:], clf.classes_)
    np.testing.assert_allclose(result.gains, np.subtract(after, before))
    assert np.nanmax(np.abs(result.gains)) > 0
    assert result.class_counts.tolist() == [60, 40, 30, 9, 4]


def test_a_class_the_base_does_not_know_gains_its_whole_recall(data):
    clf = composed(data, base_classes=3)
    # Away from all weights, to which a row of zeros would be nearest.
    weight = clf.base_head_.weight.detach().numpy()[:3]
    away = np.linalg.lstsq(weight, -np.ones(3))[0]
    X, y = np.r_[data[2], away[None]], np.r_[data[3], ["lynx"]]
    gains = class_gains(clf, X, y).gains
    after = recalls(clf.head_, X, y, clf.classes_)
    assert gains[3:].tolist() == after[3:]
    known = clf.base_head_.select(torch.arange(3))
    before = recalls(known, X, y, clf.classes_)
    np.testing.assert_allclose(gains[:3], np.subtract(after, before)[:3])


@pytest.mark.parametrize(
    ("donors", "givers"),
    [
        (20, ["cat", "dog", "elk"]),
        ((20, 4, "prototypes"), ["cat", "dog", "elk", "lynx"]),
        (0, ["cat", "dog", "elk", "lynx", "wolf"]),
    ],
)
def test_distances_of_knowledge_transfer_are_those_to_other_donors(
    data, donors, givers
):
    X, y = data[:2]
    clf = composed(data, donors=donors)
    result = gains_by_distance(clf, *data[2:])
    assert result.classes.tolist() == ["lynx", "wolf"]
    directions = X / np.linalg.norm(X, axis=1, keepdims=True)
    means = {label: directions[y == label].mean(axis=0) for label in clf.classes_}
    means = {label: mean / np.linalg.norm(mean) for label, mean in means.items()}
    nearest = [
        min(np.linalg.norm(means[few] - means[g]) for g in givers if g != few)
        for few in ("lynx", "wolf")
    ]
    np.testing.assert_allclose(result.distances, nearest, rtol=1e-6)
    assert result.gains.tolist() == class_gains(clf, *data[2:]).gains[3:].tolist()
    assert result.n_samples.tolist() == [14, 7]


def test_the_member_with_the_most_donors_says_who_gives():
    y = np.repeat([0, 1, 2], [30, 9, 4])
    X = np.array([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])[y]  # 2 is near 1
    base = LinearHead(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).double())
    for donors, nearest in ((20, 9), X[0]), ((20, 10), X[0]), ((5, 8, 20), X[30]):
        clf = CompositionalClassifier(base, donors=donors).fit(X, y)
        distances = gains_by_distance(clf, X, y).distances
        own = X[-1] / np.linalg.norm(X[-1])
        assert distances[1] == pytest.approx(np.linalg.norm(own - nearest))


def test_a_class_without_a_trained_weight_gives_nothing():
    X = np.repeat([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], [30, 25, 4], axis=0)
    y = np.repeat([0, 1, 2], [30, 25, 4])
    base = LinearHead(torch.eye(2).double(), classes=[0, 2])
    clf = CompositionalClassifier(base, donors=20).fit(X, y)
    assert gains_by_distance(clf, X, y).distances == pytest.approx([2])


def test_few_shot_are_fewer_than_twenty_examples():
    counts = [101, 20, 19, 1]
    X = np.repeat(np.eye(4) + 0.1, counts, axis=0)
    y = np.repeat([0, 1, 2, 3], counts)
    base = LinearHead(torch.eye(4).double())
    clf = CompositionalClassifier(base, donors=100).fit(X, y)
    result = gains_by_distance(clf, X, y)
    assert result.classes.tolist() == [2, 3]
    assert np.ptp(result.distances) == pytest.approx(0, abs=1e-9)
    clf.partial_fit(X[-1:], [4])  # a class added later
    X, y = np.r_[X, X[-1:]], np.r_[y, 4]
    assert gains_by_distance(clf, X, y).classes.tolist() == [2, 3, 4]


def test_a_class_without_another_donor_has_no_distance():
    X, y = np.repeat(np.eye(2), [5, 3], axis=0), np.repeat([0, 1], [5, 3])
    clf = CompositionalClassifier(LinearHead(torch.eye(2).double()), donors=3)
    result = gains_by_distance(clf.fit(X, y), X, y)
    np.testing.assert_allclose(result.distances, [np.nan, np.sqrt(2)])


def test_a_classifier_without_few_shot_classes_has_no_entry():
    X, y = np.repeat(np.eye(2), 30, axis=0), np.repeat([0, 1], 30)
    clf = CompositionalClassifier(LinearHead(torch.eye(2).double())).fit(X, y)
    result = gains_by_distance(clf, X, y)
    assert len(result.classes) == len(result.distances) == len(result.gains) == 0


def test_a_classifier_without_donors_is_refused(data):
    clf = composed(data, donors=("prototypes", "no-transfer"))
    with pytest.raises(ValueError, match=r"donors_ are \('prototypes', 'no-tran"):
        gains_by_distance(clf, *data[2:])


def test_labels_may_be_a_tensor():
    X = np.repeat(np.eye(3), [30, 30, 5], axis=0)
    y = torch.tensor([0, 1, 2]).repeat_interleave(torch.tensor([30, 30, 5]))
    clf = AlphaNetClassifier(LinearHead(torch.eye(3).double()), n_neighbors=2, epochs=1)
    clf.set_params(random_state=0).fit(X, y, validation=(X, y))
    assert class_gains(clf, X, y).n_samples.tolist() == [30, 30, 5]


def test_an_unknown_label_is_refused(alphanet, data):
    X, y = data[2:]
    strange = np.where(y == "dog", "bear", y)
    with pytest.raises(ValueError, match=r"labels of classes_ alone.*'bear'"):
        class_gains(alphanet, X, strange)


def test_what_has_no_base_and_rows_that_do_not_match_are_refused(alphanet, data):
    X, y = data[2:]
    with pytest.raises(TypeError, match=r"one of AlphaNet.*; got LinearClassifier"):
        class_gains(LinearClassifier(), X, y)
    with pytest.raises(TypeError, match=r"a CompositionalClassifier; got Meta"):
        gains_by_distance(MetaModelNetClassifier(), X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        class_gains(alphanet, X[1:], y)
