"""The pairs of models, from training data."""

import numpy as np
import pytest
import torch

from headtail.methods.transfer import _bank
from headtail.methods.transfer._bank import build_bank, scaled_features
from headtail.methods.transfer._shot_models import many_shot_model, shot_models

SOLVERS = pytest.mark.parametrize("solver", ["ridge", "softmax"])
COUNTS = [5, 21, 1, 9, 4, 3]  # more than 2: [0, 1, 3, 4, 5]; than 4: [0, 1, 3]
HEADS = {1: [0, 1, 3, 4, 5], 2: [0, 1, 3], 4: [1, 3]}
LIKE = torch.zeros(0, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(noise=1.0):
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))
    X = 3 + 2 * (np.eye(6, 8)[y] + noise * rng.normal(size=(len(y), 8)))
    return torch.from_numpy(X), torch.from_numpy(y)


def bank_of(features, positions, solver="softmax", **changes):
    settings = {"shots": (1, 2, 4), "n_models": (4, 3, 2), "generator": seeded()}
    features_of = changes.pop("features_of", lambda head: features)
    return build_bank(
        features_of, positions, **(settings | changes), solver=solver, penalty=1e-3
    )


def test_features_are_centred_at_the_mean_of_the_class_means():
    X, y = blobs()
    before = X.clone()
    scaled = scaled_features(X, y, LIKE)
    center = np.mean([X[y == c].mean(dim=0).numpy() for c in range(6)], axis=0)
    spread = np.sqrt(X.numpy().var(axis=0).sum())
    np.testing.assert_allclose(scaled.center, center)
    np.testing.assert_allclose(scaled.spread, spread)
    np.testing.assert_allclose(scaled.features, (X.numpy() - center) / spread)
    assert X.equal(before)
    assert scaled.features.data_ptr() != X.data_ptr()
    assert scaled.features.var(dim=0, correction=0).sum() == pytest.approx(1)


def test_a_class_that_does_not_occur_has_no_mean():
    X, y = blobs()
    y = 2 * y
    means = [X[y == c].mean(dim=0).numpy() for c in y.unique()]
    np.testing.assert_allclose(scaled_features(X, y, LIKE).center, np.mean(means, 0))


def test_blocks_of_rows_change_nothing(monkeypatch):
    X, y = blobs()
    whole = scaled_features(X, y, LIKE)
    monkeypatch.setattr(
        _bank,
        "row_blocks",
        lambda n, _: (slice(i, min(i + 5, n)) for i in range(0, n, 5)),
    )
    parts = scaled_features(X, y, LIKE)
    torch.testing.assert_close(parts.features, whole.features)
    torch.testing.assert_close(parts.center, whole.center)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.uint8])
def test_the_work_is_done_in_the_precision_asked_for(dtype):
    X, y = blobs()
    given = X.abs().to(dtype)
    scaled = scaled_features(given, y, LIKE.float())
    reference = scaled_features(given.double(), y, LIKE)
    assert scaled.features.dtype == scaled.center.dtype == torch.float32
    torch.testing.assert_close(
        scaled.features.double(), reference.features, rtol=1e-5, atol=1e-6
    )


def test_a_large_offset_costs_no_digits():
    X, y = blobs()
    near, far = scaled_features(X, y, LIKE), scaled_features(X + 1e6, y, LIKE)
    torch.testing.assert_close(near.features, far.features, rtol=1e-7, atol=1e-8)


def test_equal_features_are_zero():
    _, y = blobs()
    scaled = scaled_features(torch.full((len(y), 3), 7.0).double(), y, LIKE)
    assert scaled.spread == 1.0
    assert scaled.features.abs().max() < 1e-12


def test_splits_hold_the_classes_with_more_than_twice_the_shots():
    X, y = blobs()
    asked = []

    def features_of(head):
        asked.append(head.tolist())
        return X

    bank = bank_of(X, y, features_of=features_of)
    assert asked == list(HEADS.values())
    for split, head, n_models in zip(
        bank.splits, HEADS.values(), (4, 3, 2), strict=True
    ):
        rows = torch.isin(y, torch.tensor(head))
        every = torch.arange(len(split.labels))
        assert torch.tensor(head)[split.labels].equal(y[rows])
        assert split.gather(every).equal(X[rows])
        assert split.gather(every[:4].reshape(2, 2)).equal(X[rows][:4].view(2, 2, 8))
        assert split.models.shape == (n_models, len(head), 8)
        assert split.target.shape == (len(head), 8)


@SOLVERS
def test_models_are_those_of_the_head_classes_alone(solver):
    X, y = blobs()
    X = X - X.mean(dim=0)
    bank, generator = bank_of(X, y, solver), seeded()
    for split, k, n in zip(bank.splits, HEADS, (4, 3, 2), strict=True):
        rows = torch.isin(y, torch.tensor(HEADS[k]))
        own, labels = X[rows], torch.searchsorted(torch.tensor(HEADS[k]), y[rows])
        target = many_shot_model(own, labels, solver=solver, penalty=1e-3)
        torch.testing.assert_close(split.target, target * bank.unit)
        models = shot_models(
            lambda chosen, own=own: own[chosen],
            labels,
            n,
            k,
            solver=solver,
            penalty=1e-3,
            generator=generator,
        )
        torch.testing.assert_close(split.models, models * bank.unit)


@SOLVERS
def test_models_know_their_classes(solver):
    X, y = blobs(noise=0.02)
    X = scaled_features(X, y, LIKE).features
    for split in bank_of(X, y, solver).splits:
        own = split.gather(torch.arange(len(split.labels)))
        for model in [split.target, *split.models]:
            assert (own @ model.T).argmax(dim=1).equal(split.labels)


@SOLVERS
@pytest.mark.parametrize("factor", [1.0, 1e-3])
def test_the_unit_brings_many_shot_weights_to_entries_of_size_one(solver, factor):
    X, y = blobs()
    bank = bank_of(factor * (X - X.mean(dim=0)), y, solver)
    assert bank.splits[0].target.square().mean().item() == pytest.approx(1)
    assert np.isfinite([bank.unit, bank.scale]).all()
    assert min(bank.unit, bank.scale) > 0


def test_softmax_logits_are_those_of_the_models():
    X, y = blobs()
    bank = bank_of(X - X.mean(dim=0), y)
    assert bank.scale * bank.unit == pytest.approx(1)


def test_ridge_logits_are_scaled_to_the_least_cross_entropy():
    X, y = blobs()
    bank = bank_of(scaled_features(X, y, LIKE).features, y, "ridge")
    split = bank.splits[-1]
    own = split.gather(torch.arange(len(split.labels)))

    def loss(factor):
        return sum(
            torch.nn.functional.cross_entropy(factor * own @ model.T, split.labels)
            for model in split.models
        )

    least = loss(bank.scale)
    assert least < loss(bank.scale * 10**0.1)
    assert least < loss(bank.scale * 10**-0.1)
    assert least < loss(0)


def test_weights_do_not_depend_on_where_features_lie():
    X, y = blobs()
    banks = [
        bank_of(scaled_features(own, y, LIKE).features, y) for own in (X, 100 * X - 7)
    ]
    for ours, theirs in zip(*(bank.splits for bank in banks), strict=True):
        torch.testing.assert_close(ours.models, theirs.models, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(ours.target, theirs.target, rtol=1e-6, atol=1e-8)


def test_features_may_differ_from_split_to_split():
    X, y = blobs()
    X = scaled_features(X, y, LIKE).features
    bank = bank_of(X, y, features_of=lambda head: X * len(head))
    for split, head in zip(bank.splits, HEADS.values(), strict=True):
        rows = torch.isin(y, torch.tensor(head))
        assert split.gather(torch.arange(len(split.labels))).equal(X[rows] * len(head))


def test_the_bank_repeats_with_the_generator():
    X, y = blobs()
    first, same, other = (bank_of(X, y, generator=seeded(s)) for s in (0, 0, 1))
    for a, b, c in zip(first.splits, same.splits, other.splits, strict=True):
        assert a.models.equal(b.models)
        assert not a.models.equal(c.models)
        assert a.target.equal(b.target)
