import numpy as np
import pytest
import torch

from headtail import (
    AlphaNetClassifier,
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
    with pytest.raises(TypeError, match="an AlphaNetClassifier; got MetaModelNet"):
        gains_by_distance(MetaModelNetClassifier(), X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        class_gains(alphanet, X[1:], y)
