from copy import deepcopy

import numpy as np
import pytest
import torch

from headtail import MetaModelNetClassifier
from headtail.features import extract
from headtail.heads import CosineHead, LinearHead
from headtail.training import (
    ImageClassifier,
    Optimization,
    Schedule,
    fine_tuning,
    new_head,
    split_features,
    train,
)
from tests.training.tiny_runs import backbone, blotches

DATA = blotches([26, 21, 18, 9, 5, 2], labels=[0, 1, 3, 4, 6, 7])
OPTIONS = {
    "optimization": Optimization(learning_rate=0.05, batch_size=16),
    "schedule": Schedule(n_epochs=2),
}


def classifier(kind="linear", norm="batch"):
    return ImageClassifier(backbone(norm), new_head(kind, 16, 6))


@pytest.fixture
def trained_on(monkeypatch):
    """Collect the networks and the data of all trainings."""
    found = []

    def watched(model, data, **options):
        found.append((model, data))
        return train(model, data, **options)

    monkeypatch.setattr(fine_tuning, "train", watched)
    return found


def test_each_split_is_fine_tuned_on_what_it_may_learn_from(trained_on):
    rows = np.arange(0, len(DATA), 2)
    features = split_features(classifier(), DATA, seed=3, **OPTIONS)
    found = features(np.array([0, 3]), rows)
    assert found.shape == (len(DATA), 16)
    assert found.dtype == np.float32
    ((_, data),) = trained_on
    allowed = [row for row in rows if DATA.labels[row] in (0, 3)]
    np.testing.assert_array_equal(data.images, DATA.images[allowed])
    np.testing.assert_array_equal(data.labels, DATA.labels[allowed])


def test_the_features_are_those_of_a_copy_trained_by_hand():
    model, rows = classifier(), np.arange(50)
    found = split_features(model, DATA, seed=3, **OPTIONS)(np.array([0, 1, 3]), rows)
    copy = deepcopy(model.backbone)
    by_hand = ImageClassifier(copy, new_head("linear", 16, 3, seed=3))
    kept = np.isin(DATA.labels, [0, 1, 3]) & (np.arange(len(DATA)) < 50)
    train(by_hand, DATA.subset(kept), seed=3, **OPTIONS)
    expected = extract(copy, DATA, preprocessing=model.preprocessing).features
    np.testing.assert_array_equal(found, expected)
    before = extract(model.backbone, DATA, preprocessing=model.preprocessing).features
    assert np.abs(found - np.asarray(before)).max() > 0.01


def test_the_given_network_is_left_as_it_is():
    model = classifier().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.backbone.network[0].weight.requires_grad_(False)
    features = split_features(model, DATA, **OPTIONS)
    first = features(np.array([0, 1]), np.arange(len(DATA)))
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert not model.backbone.network[0].weight.requires_grad
    assert model.backbone.training
    assert model.class_counts is None
    # So that a split is the same, whichever came before.
    features(np.array([3, 4]), np.arange(len(DATA)))
    again = features(np.array([0, 1]), np.arange(len(DATA)))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("kind", "expected"), [("linear", LinearHead), ("cosine", CosineHead)]
)
def test_new_heads_are_of_the_given_kind(kind, expected, trained_on):
    features = split_features(classifier(kind), DATA, **OPTIONS)
    features(np.array([1, 4, 6]), np.arange(len(DATA)))
    ((model, _),) = trained_on
    assert type(model.head) is expected
    assert model.head.n_classes == 3


def test_the_seed_matters():
    labels, rows = np.array([0, 1]), np.arange(len(DATA))
    first, second = (
        split_features(classifier(), DATA, seed=seed, **OPTIONS)(labels, rows)
        for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


@pytest.mark.usefixtures("short_trainings")
def test_metamodelnet_fine_tunes_at_every_split(trained_on):
    model = classifier(norm="group")
    X = np.asarray(
        extract(model.backbone, DATA, preprocessing=model.preprocessing).features
    )
    settings = {"n_models": 3, "steps": 2, "learning_rate": 0.02, "random_state": 0}
    features = split_features(model, DATA, **OPTIONS)
    clf = MetaModelNetClassifier(**settings)
    clf.fit(X, DATA.labels, split_features=features)
    plain = MetaModelNetClassifier(**settings).fit(X, DATA.labels)
    assert not np.allclose(clf.head_.weight.detach(), plain.head_.weight.detach())
    # A split for every number of shots, with the classes that have more than 2k images.
    splits = [set(data.labels.tolist()) for _, data in trained_on]
    assert clf.shots_ == (1, 2, 4, 8)
    assert len(splits) == len(clf.shots_)
    for k, classes in zip(clf.shots_, splits, strict=True):
        many = np.flatnonzero(DATA.class_counts > 2 * k)
        assert classes == set(many.tolist())
    assert set(clf.predict(X)) <= set(DATA.labels)


@pytest.mark.usefixtures("short_trainings")
def test_held_out_images_are_not_learned_from(trained_on):
    model = classifier(norm="group")
    X = np.asarray(
        extract(model.backbone, DATA, preprocessing=model.preprocessing).features
    )
    given = []

    def watched(labels, rows):
        given.append(rows)
        return features(labels, rows)

    features = split_features(model, DATA, **OPTIONS)
    clf = MetaModelNetClassifier(
        split="fixed", n_models=2, steps=1, learning_rate=0.02, random_state=0
    )
    clf.fit(X, DATA.labels, split_features=watched)
    # The choice among splits held some images out; the end was learned on all.
    assert min(len(rows) for rows in given) < len(DATA)
    for rows, (_, data) in zip(given, trained_on, strict=True):
        allowed = {image.tobytes() for image in DATA.images[rows]}
        assert {image.tobytes() for image in data.images} <= allowed


def test_below_a_folder_each_split_is_a_run_that_is_found_again(trained_on, tmp_path):
    few, all_rows = np.arange(0, len(DATA), 2), np.arange(len(DATA))
    asked = [
        (np.array([0, 3]), few),
        (np.array([0, 3]), all_rows),
        (np.array([0]), few),
    ]
    runs = tmp_path / "runs"
    features = split_features(classifier(), DATA, folder=runs, **OPTIONS)
    first = [features(*one) for one in asked]
    assert len([*runs.iterdir()]) == 3
    written = {file: file.stat().st_mtime_ns for file in runs.rglob("*.safetensors")}
    again = [features(*one) for one in asked]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    # Finished runs are only read.
    assert written == {file: file.stat().st_mtime_ns for file in written}
