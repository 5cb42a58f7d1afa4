"""Model regression's own: one transformation for all numbers of examples."""

import numpy as np
import pytest
import torch

from headtail import ModelRegressionClassifier
from headtail.methods.transfer import _meta_model
from headtail.methods.transfer._meta_training import Plan

COUNTS = [26, 21, 18, 9, 5, 2, 1]
CENTERS = np.random.default_rng(7).normal(size=(7, 6))
USUAL = {"n_models": 5, "steps": 3, "random_state": 0}


def blobs(counts=COUNTS, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    return CENTERS[y] + rng.normal(size=(len(y), 6)), y


def fitted(counts=COUNTS, **settings):
    return ModelRegressionClassifier(**(USUAL | settings)).fit(*blobs(counts))


def test_one_block_takes_all_numbers_of_shots():
    (plan,) = ModelRegressionClassifier()._plans((1, 2, 4))
    assert plan == Plan((4,), False, [[(0, 0), (1, 0), (2, 0)]])
    clf = fitted()
    assert clf.shots_ == (8,)
    assert clf.chain_.n_blocks == 1
    assert not clf.chain_.residual
    assert clf.selection_ is None


@pytest.mark.parametrize(
    ("shots", "blocks"),
    [
        ("auto", [1, 1, 1, 0, 0, 0, 0]),
        ((1, 9), [1, 1, 1, 0, 0, 0, 0]),
        ((1, 10), [1, 1, 0, 0, 0, 0, 0]),
        ((2, 4), [1, 1, 1, 1, 0, 0, 0]),
        ((1,), [1, 1, 1, 1, 1, 1, 0]),
    ],
)
def test_classes_with_less_than_twice_the_largest_shots_pass_it(shots, blocks):
    clf = fitted(shots=shots)
    assert clf.blocks_.tolist() == blocks
    assert [len(clf.trajectory(c)) for c in range(7)] == [2 - b for b in blocks]


def test_there_is_no_identity():
    clf = fitted(learning_rate=1e-300)
    tail = torch.from_numpy(clf.blocks_ == 0)
    head, plain = clf.head_.weight.detach(), clf.plain_head_.weight.detach()
    change = (head - plain)[tail].norm(dim=1)
    assert (change > 0.5 * plain[tail].norm(dim=1)).all()
    assert head[~tail].equal(plain[~tail])


def test_the_models_of_all_splits_pass_it():
    lengths = fitted().lengths_
    assert lengths.shape == (4, 3)
    assert (np.abs(lengths[:, 1] / lengths[:, 0] - 1) > 0.01).all()


def test_few_shot_weights_are_led_towards_many_shot_ones(monkeypatch):
    prepared = []
    train = _meta_model.train_plan

    def record(ready, *rest):
        prepared.append(ready)
        return train(ready, *rest)

    monkeypatch.setattr(_meta_model, "train_plan", record)
    settings = {"n_models": 20, "steps": 200, "performance_weight": 0.0}
    chain = fitted(**settings, learning_rate=0.02).chain_
    (ready,) = prepared
    assert len(ready.bank.splits) == 4
    for split in ready.bank.splits:
        models = split.models
        moved = chain(models.flatten(0, 1), 0).view_as(models)
        before, after = (
            (own - split.target).square().mean() for own in (models, moved)
        )
        assert after < 0.5 * before
