"""MetaModelNet's own: a block for every number of shots, or the best of them."""

import numpy as np
import pytest

from headtail import MetaModelNetClassifier
from headtail.methods.transfer import _meta_model
from headtail.methods.transfer._meta_training import Plan

COUNTS = [26, 21, 18, 9, 5, 2, 1]
CENTERS = np.random.default_rng(7).normal(size=(7, 6))
USUAL = {"n_models": 5, "steps": 2, "learning_rate": 0.02, "random_state": 0}


def blobs(counts=COUNTS, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    return CENTERS[y] + rng.normal(size=(len(y), 6)), y


def fitted(counts=COUNTS, *, validation=None, **settings):
    clf = MetaModelNetClassifier(**(USUAL | settings))
    return clf.fit(*blobs(counts), validation=validation)


def test_there_is_a_block_for_every_number_of_shots():
    clf = fitted()
    assert clf.shots_ == (1, 2, 4, 8)
    assert clf.chain_.n_blocks == 4
    assert clf.chain_.residual
    assert clf.blocks_.tolist() == [4, 4, 4, 3, 2, 1, 0]
    assert [len(clf.trajectory(c)) for c in range(7)] == [1, 1, 1, 2, 3, 4, 5]
    assert clf.lengths_.shape == (4, 3)
    assert clf.selection_ is None


@pytest.mark.parametrize(
    ("counts", "shots"),
    [
        ([3, 3, 1], (1,)),
        ([40, 4, 1], (1,)),
        ([40, 5, 1], (1, 2)),
        ([17, 17, 1], (1, 2, 4, 8)),
        ([130, 129, 5], (1, 2, 4, 8, 16, 32, 64)),
        ([300, 300, 5], (1, 2, 4, 8, 16, 32, 64)),
    ],
)
def test_automatic_shots_go_as_far_as_two_classes_do(counts, shots):
    clf = fitted(counts, n_models=2, steps=1)
    assert clf.shots_ == shots
    clf = fitted(counts, n_models=2, steps=1, split="fixed", shots=shots[-1:])
    assert clf.shots_ == shots[-1:]


def test_shots_may_be_any_that_rise():
    clf = fitted(shots=[3, 7])
    assert clf.shots_ == (3, 7)
    assert clf.blocks_.tolist() == [2, 2, 2, 1, 0, 0, 0]
    assert np.isnan(clf.few_shot_weight_).all(axis=1).tolist() == [False] * 5 + [
        True,
        True,
    ]


def test_the_network_grows_back_to_front():
    (plan,) = MetaModelNetClassifier()._plans((1, 2, 4))
    assert plan == Plan(
        (1, 2, 4), True, [[(2, 2)], [(1, 1), (2, 2)], [(0, 0), (1, 1), (2, 2)]]
    )


def test_of_the_fixed_split_every_number_of_shots_is_a_plan():
    plans = MetaModelNetClassifier(split="fixed")._plans((1, 4))
    assert plans == [Plan((1,), True, [[(0, 0)]]), Plan((4,), True, [[(1, 0)]])]


@pytest.mark.parametrize("given", [True, False])
def test_the_fixed_split_is_the_best_on_held_out_data(given, monkeypatch):
    validation = blobs([8] * 7, 1) if given else None
    select = _meta_model.mean_recalls

    def rigged(predicted, positions, n_classes):
        recalls = select(predicted, positions, n_classes)
        recalls[2] = recalls[2] * 0 + 1  # NaN stays
        return recalls

    monkeypatch.setattr(_meta_model, "mean_recalls", rigged)
    clf = fitted(split="fixed", validation=validation)
    record = clf.selection_
    assert [list(c["shots"]) for c in record.candidates] == [[1], [2], [4], [8]]
    assert record.best_index == 2
    assert clf.shots_ == (4,)
    assert clf.blocks_.tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert clf.chain_.n_blocks == 1
    assert clf.chain_.residual
    assert clf.model_shots_ == (4,)
    assert clf.lengths_.shape == (1, 3)
    assert np.isnan(clf.few_shot_weight_[5:]).all()
    assert np.isfinite(clf.few_shot_weight_[:5]).all()


def test_one_number_of_shots_is_no_choice():
    fixed, recursive = (
        fitted(shots=(2,), split=split) for split in ("fixed", "recursive")
    )
    assert fixed.selection_ is recursive.selection_ is None
    assert fixed.head_.weight.equal(recursive.head_.weight)


def test_without_training_the_identity_moves_nobody():
    clf = fitted(learning_rate=1e-300)
    np.testing.assert_allclose(
        clf.head_.weight.detach(), clf.plain_head_.weight.detach(), rtol=1e-12
    )
    np.testing.assert_allclose(clf.lengths_[:, 0], clf.lengths_[:, 1])


def test_few_shot_weights_are_led_towards_many_shot_ones(monkeypatch):
    prepared = []
    train = _meta_model.train_plan

    def record(ready, *rest):
        prepared.append(ready)
        return train(ready, *rest)

    monkeypatch.setattr(_meta_model, "train_plan", record)
    settings = {"n_models": 20, "steps": 60, "performance_weight": 0.0}
    chain = fitted(**settings, learning_rate=0.02).chain_
    (ready,) = prepared
    assert len(ready.bank.splits) == 4
    for i, split in enumerate(ready.bank.splits):
        models = split.models
        moved = chain(models.flatten(0, 1), i).view_as(models)
        before, after = (
            (own - split.target).square().mean() for own in (models, moved)
        )
        assert after < 0.5 * before


@pytest.mark.parametrize("split", ["Fixed", None, "best"])
def test_another_split_is_refused(split):
    with pytest.raises(ValueError, match="'split' parameter of MetaModelNetClassifier"):
        fitted(split=split)


def test_a_training_that_does_not_converge_is_refused():
    with pytest.raises(ValueError, match=r"must converge.*learning_rate=1e"):
        fitted(learning_rate=1e300, steps=5)


def test_validation_data_where_nothing_is_chosen_are_refused():
    with pytest.raises(ValueError, match="nothing is to be chosen"):
        fitted(validation=blobs([8] * 7, 1))


@pytest.mark.parametrize("solver", ["softmax", "ridge"])
def test_a_penalty_too_small_for_the_equations_is_refused(solver):
    X = np.repeat(np.eye(3, 50, dtype=np.float32), [30, 20, 4], axis=0)
    y = np.repeat([0, 1, 2], [30, 20, 4])
    clf = MetaModelNetClassifier(solver=solver, penalty=1e-30, steps=1, n_models=2)
    with pytest.raises(ValueError, match=r"penalty must be large enough.*1e-30 is not"):
        clf.fit(X, y)
