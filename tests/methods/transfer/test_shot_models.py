"""Linear classifiers from k examples of each class, against slow references."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from headtail.methods.transfer import _shot_models
from headtail.methods.transfer._shot_models import (
    balanced_targets,
    draw_shots,
    many_shot_model,
    ridge_models,
    shot_models,
    softmax_models,
)

# 3 classes of 4 examples: fewer than the features, as many, and more.
SIZES = pytest.mark.parametrize("n_features", [20, 12, 5])
SOLVERS = pytest.mark.parametrize("solver", ["ridge", "softmax"])
PENALTY = 0.03
LABELS = torch.tensor([2, 0, 1, 1, 2, 0, 0, 2, 1, 0, 2, 2, 0])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn_features(n_features, n_models=3, n_samples=12, dtype=torch.float64):
    shape = (n_models, n_samples, n_features)
    return torch.randn(shape, generator=seeded(), dtype=torch.float64).to(dtype)


def blobs(counts, n_features=5, seed=3):
    """Return features of which every class has its own mean, shuffled."""
    generator = seeded(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    shape = (len(labels), n_features)
    features = torch.randn(shape, generator=generator, dtype=torch.float64)
    return features + torch.eye(len(counts), n_features).double()[labels], labels


def test_draws_are_different_examples_class_by_class():
    rows = draw_shots(LABELS, 200, 3, seeded())
    assert rows.shape == (200, 9)
    assert (LABELS[rows] == torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])).all()
    assert all(len(set(row)) == 9 for row in rows.tolist())
    assert len({tuple(row) for row in rows.tolist()}) > 100


def test_as_many_shots_as_examples_are_all_of_them():
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    for row in draw_shots(labels, 5, 3, seeded()).tolist():
        assert sorted(row[:3]) == [0, 3, 5]
        assert sorted(row[3:]) == [1, 2, 4]


def test_every_set_of_examples_is_as_likely_as_any():
    labels = torch.tensor([1, 0, 0, 1, 0, 1, 0])
    rows = draw_shots(labels, 6000, 2, seeded())
    pairs = [tuple(sorted(pair)) for pair in rows[:, :2].tolist()]
    for pair in itertools.combinations([1, 2, 4, 6], 2):
        assert abs(pairs.count(pair) / 6000 - 1 / 6) < 0.025  # five deviations
    first = torch.bincount(rows[:, 0])[[1, 2, 4, 6]] / 6000
    assert (first - 1 / 4).abs().max() < 0.028  # the order is random too


def test_draws_repeat_with_the_generator():
    first, same, other = (draw_shots(LABELS, 9, 2, seeded(s)) for s in (0, 0, 1))
    assert first.equal(same)
    assert not first.equal(other)


def test_targets_of_a_class_sum_to_zero_over_balanced_examples():
    targets = balanced_targets(3, 2, torch.zeros(1).double())
    expected = [[2, -1, -1]] * 2 + [[-1, 2, -1]] * 2 + [[-1, -1, 2]] * 2
    assert targets.tolist() == expected
    assert targets.dtype == torch.float64


@SIZES
@pytest.mark.parametrize("penalty", [1e-3, 2.0])
def test_ridge_models_are_those_of_scikit_learn(n_features, penalty):
    features = drawn_features(n_features)
    targets = balanced_targets(3, 4, features)
    models = ridge_models(features, targets, penalty)
    assert models.shape == (3, 3, n_features)
    for X, model in zip(features.numpy(), models.numpy(), strict=True):
        ridge = Ridge(alpha=12 * penalty, fit_intercept=False).fit(X, targets.numpy())
        np.testing.assert_allclose(model, ridge.coef_, rtol=1e-8, atol=1e-10)


@SIZES
def test_ridge_weights_lead_from_the_mean_of_all_to_those_of_the_classes(n_features):
    features = drawn_features(n_features)
    models = ridge_models(features, balanced_targets(3, 4, features), PENALTY)
    for X, model in zip(features.numpy(), models.numpy(), strict=True):
        apart = X.reshape(3, 4, -1).mean(axis=1) - X.mean(axis=0)
        matrix = X.T @ X / 12 + PENALTY * np.eye(n_features)
        np.testing.assert_allclose(model, np.linalg.solve(matrix, apart.T).T)


@SIZES
def test_softmax_models_have_no_gradient_left(n_features):
    features = drawn_features(n_features)
    targets = torch.eye(3).double().repeat_interleave(4, dim=0)
    models = softmax_models(features, targets, PENALTY, iterations=3000)
    models = models.contiguous().requires_grad_()
    logits = torch.einsum("msf,mcf->msc", features, models)
    log_proba = logits.log_softmax(dim=2)
    loss = -(targets * log_proba).sum(dim=2).mean(dim=1)
    objective = loss + PENALTY / 2 * models.square().sum(dim=(1, 2))
    (gradient,) = torch.autograd.grad(objective.sum(), models)
    assert gradient.abs().max() < 1e-9


@SIZES
def test_softmax_models_are_those_of_scikit_learn(n_features):
    features = drawn_features(n_features)
    labels = np.repeat([0, 1, 2], 4)
    targets = torch.eye(3).double()[torch.from_numpy(labels)]
    models = softmax_models(features, targets, PENALTY, iterations=3000)
    assert models.shape == (3, 3, n_features)
    for X, model in zip(features.numpy(), models.numpy(), strict=True):
        reference = LogisticRegression(
            C=1 / (12 * PENALTY), fit_intercept=False, tol=1e-10, max_iter=10000
        ).fit(X, labels)
        np.testing.assert_allclose(model, reference.coef_, atol=1e-6)


def test_thirty_steps_are_near_the_end():
    features = drawn_features(20)
    targets = torch.eye(3).double().repeat_interleave(4, dim=0)
    usual = softmax_models(features, targets, PENALTY)
    far = softmax_models(features, targets, PENALTY, iterations=3000)
    assert (usual - far).norm() < 0.02 * far.norm()


@pytest.mark.parametrize("solve", [ridge_models, softmax_models])
def test_among_examples_and_among_features_is_the_same(solve):
    # 12 examples in 12 dimensions are solved among examples; a thirteenth example,
    # all zero, is solved among features, and changes only their number.
    features = drawn_features(12)
    targets = balanced_targets(3, 4, features)
    if solve is softmax_models:
        targets = (targets + 1) / 3
    dual = solve(features, targets, PENALTY)
    wider = torch.nn.functional.pad(features, (0, 0, 0, 1))
    more = torch.nn.functional.pad(targets, (0, 0, 0, 1))
    if solve is softmax_models:
        more[-1] = 1 / 3
    primal = solve(wider, more, PENALTY * 12 / 13)
    torch.testing.assert_close(primal, dual, rtol=1e-6, atol=1e-8)


@SOLVERS
@pytest.mark.parametrize(("shots", "n_features"), [(4, 20), (4, 12), (7, 5)])
def test_on_balanced_data_many_shots_are_all_shots(solver, shots, n_features):
    features, labels = blobs([shots] * 3, n_features)
    settings = {"solver": solver, "penalty": PENALTY}
    many = many_shot_model(features, labels, **settings)
    few = shot_models(
        lambda rows: features[rows], labels, 2, shots, **settings, generator=seeded()
    )
    torch.testing.assert_close(few, many.expand(2, -1, -1), rtol=1e-7, atol=1e-9)


@SOLVERS
def test_many_shot_models_are_those_of_weighted_examples(solver):
    features, labels = blobs([40, 9, 3])
    X, y = features.numpy(), labels.numpy()
    share = 1 / (3 * np.bincount(y))[y]
    model = many_shot_model(
        features, labels, solver=solver, penalty=PENALTY, iterations=3000
    )
    if solver == "ridge":
        reference = Ridge(alpha=PENALTY, fit_intercept=False)
        reference.fit(X, 3 * np.eye(3)[y] - 1, sample_weight=share)
    else:
        reference = LogisticRegression(
            C=1 / PENALTY, fit_intercept=False, tol=1e-10, max_iter=10000
        ).fit(X, y, sample_weight=share)
    np.testing.assert_allclose(model.numpy(), reference.coef_, atol=1e-6)


@SOLVERS
def test_all_examples_of_a_class_twice_change_nothing(solver):
    features, labels = blobs([12, 9, 3])
    settings = {"solver": solver, "penalty": PENALTY}
    twice = torch.cat([torch.arange(len(labels)), (labels == 1).nonzero().flatten()])
    once = many_shot_model(features, labels, **settings)
    again = many_shot_model(features[twice], labels[twice], **settings)
    torch.testing.assert_close(again, once)


@SOLVERS
def test_blocks_of_examples_change_nothing(solver, monkeypatch):
    features, labels = blobs([12, 9, 3])
    settings = {"solver": solver, "penalty": PENALTY}
    whole = many_shot_model(features, labels, **settings)
    monkeypatch.setattr(
        _shot_models,
        "row_blocks",
        lambda n, _: (slice(i, min(i + 5, n)) for i in range(0, n, 5)),
    )
    torch.testing.assert_close(many_shot_model(features, labels, **settings), whole)


@SOLVERS
@pytest.mark.parametrize("at_once", [1, 400, 2**26])
def test_chunks_change_nothing_but_the_memory(solver, at_once, monkeypatch):
    monkeypatch.setattr(_shot_models, "_AT_ONCE", at_once)
    features, labels = blobs([12, 9, 3])
    drawn, told = [], []

    def gather(rows):
        if rows.ndim == 2:
            drawn.append(rows)
        return features[rows]

    settings = {"solver": solver, "penalty": PENALTY}
    models = shot_models(
        gather, labels, 7, 2, **settings, generator=seeded(), advance=told.append
    )
    assert models.shape == (7, 3, 5)
    assert told == [len(rows) for rows in drawn]
    assert sum(told) == 7
    assert len(told) == {1: 7, 400: 4, 2**26: 1}[at_once]
    for rows, model in zip(torch.cat(drawn), models, strict=True):
        alone = many_shot_model(features[rows], labels[rows], **settings)
        torch.testing.assert_close(model, alone, rtol=1e-7, atol=1e-9)


@SOLVERS
def test_models_repeat_with_the_generator_and_differ_among_themselves(solver):
    features, labels = blobs([12, 9, 3])
    first, same, other = (
        shot_models(
            lambda rows: features[rows],
            labels,
            4,
            2,
            solver=solver,
            penalty=PENALTY,
            generator=seeded(seed),
        )
        for seed in (0, 0, 1)
    )
    assert first.equal(same)
    assert not first.allclose(other)
    assert len({tuple(model.flatten().tolist()) for model in first}) == 4


@SOLVERS
@pytest.mark.parametrize("n_features", [20, 5])
def test_the_precision_is_that_of_the_features(solver, n_features):
    features, labels = blobs([12, 9, 3], n_features)
    results = {}
    for dtype in (torch.float32, torch.float64):
        own = features.to(dtype)
        few = shot_models(
            lambda rows, own=own: own[rows],
            labels,
            3,
            2,
            solver=solver,
            penalty=PENALTY,
            generator=seeded(),
        )
        many = many_shot_model(own, labels, solver=solver, penalty=PENALTY)
        assert few.dtype == many.dtype == dtype
        results[dtype] = few, many
    for single, double in zip(*results.values(), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4)
