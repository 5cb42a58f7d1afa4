"""Which shots the data allow, weights through the chain, and their lengths."""

import numpy as np
import pytest
import torch

from headtail.methods._chain import Chain
from headtail.methods.transfer._bank import Bank
from headtail.methods.transfer._chain_training import Split, Task
from headtail.methods.transfer._meta_training import (
    Plan,
    Ready,
    Recipe,
    mean_lengths,
    moved,
    prepare,
    train_plan,
    usable_shots,
)

SHOTS = (1, 2, 4, 8)
RECIPE = Recipe("softmax", 1e-3, dict.fromkeys(SHOTS, 5), 3, 0.01)
LIKE = torch.zeros(0, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def used_chain(n_blocks, n_features=5):
    chain = Chain(n_blocks, n_features, residual=False, generator=seeded()).double()
    chain(randn(9, n_features))
    return chain.eval()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([100, 2, 1], ()),
        ([100, 3, 1], (1,)),
        ([4, 4, 1], (1,)),
        ([5, 5, 5], (1, 2)),
        ([8, 1, 8], (1, 2)),
        ([8, 1, 9], (1, 2)),
        ([9, 1, 9], (1, 2, 4)),
        ([16, 16], (1, 2, 4)),
        ([17, 17], (1, 2, 4, 8)),
    ],
)
def test_two_classes_have_more_than_twice_the_shots(counts, expected):
    assert usable_shots(np.array(counts), SHOTS) == expected


def test_together_is_as_every_class_alone():
    chain, weight = used_chain(3), randn(8, 5, seed=4)
    before = weight.clone()
    blocks = torch.tensor([3, 0, 2, 1, 3, 1, 0, 2])
    result = moved(chain, weight, blocks)
    for row, block in enumerate(blocks.tolist()):
        alone = chain(weight[row : row + 1], block)[0]
        torch.testing.assert_close(result[row], alone.detach())
    assert result[blocks == 3].equal(weight[blocks == 3])
    assert not result.requires_grad
    assert weight.equal(before)


def test_where_all_stay_nothing_changes():
    weight = randn(3, 5)
    result = moved(used_chain(2), weight, torch.full((3,), 2))
    assert result.equal(weight)
    assert result.data_ptr() != weight.data_ptr()


def test_mean_lengths_are_those_of_logits_weights():
    chain = used_chain(2)
    splits = [
        Split(randn(30, 4, 5, seed=i), randn(4, 5, seed=10 + i), None, None)
        for i in range(3)
    ]
    bank = Bank(splits, 7.0, 0.25)
    ready = Ready(None, bank, (1, 2, 4), None, None)
    plan = Plan((1, 4), False, [[Task(2, 1)], [Task(0, 0), Task(2, 1)]])
    lengths = mean_lengths(ready, plan, chain)
    assert lengths.shape == (2, 3)  # the second enters nowhere
    for row, (i, start) in enumerate(((0, 0), (2, 1))):
        models = splits[i].models[:20].flatten(0, 1)
        for j, own in enumerate((models, chain(models, start), splits[i].target)):
            expected = np.linalg.norm(own.detach().numpy(), axis=1).mean() / 4
            assert lengths[row, j].item() == pytest.approx(expected)
    assert lengths.dtype == torch.float64


def blobs():
    y = torch.tensor([0] * 12 + [1] * 9 + [2] * 3 + [3])
    return randn(25, 6) + 2 * torch.eye(4, 6).double()[y], y


def test_what_is_prepared_fits_what_is_kept():
    X, y = blobs()
    kept = torch.arange(25) % 4 != 0
    ready = prepare(
        X, y, np.arange(4), SHOTS, RECIPE, like=LIKE, generator=seeded(), kept=kept
    )
    alone = prepare(
        X[kept], y[kept], np.arange(4), SHOTS, RECIPE, like=LIKE, generator=seeded()
    )
    assert ready.class_counts.tolist() == torch.bincount(y[kept]).tolist()
    assert ready.shots == alone.shots == usable_shots(np.bincount(y[kept]), SHOTS)
    assert ready.weight.equal(alone.weight)
    assert ready.scaled.features.equal(alone.scaled.features)
    for ours, theirs in zip(ready.bank.splits, alone.bank.splits, strict=True):
        assert ours.models.equal(theirs.models)


def test_kept_rows_are_those_of_the_split_features_too():
    X, y = blobs()
    kept = torch.arange(25) % 4 != 0
    usual, own = (
        prepare(
            X,
            y,
            np.array(["a", "b", "c", "d"]),
            SHOTS,
            RECIPE,
            like=LIKE,
            generator=seeded(),
            kept=kept,
            split_features=function,
        )
        for function in (None, lambda labels, rows: X.numpy())
    )
    for ours, theirs in zip(own.bank.splits, usual.bank.splits, strict=True):
        assert ours.models.equal(theirs.models)
        assert ours.target.equal(theirs.target)


def test_a_plan_is_trained_from_a_fresh_chain():
    X, y = blobs()
    ready = prepare(X, y, np.arange(4), SHOTS, RECIPE, like=LIKE, generator=seeded())
    assert ready.shots == (1, 2, 4)
    plan = Plan((1, 4), True, [[Task(2, 1)], [Task(0, 0), Task(2, 1)]])
    before = ready.weight.clone(), ready.bank.splits[0].models.clone()
    first, same = (train_plan(ready, plan, 0.1, RECIPE, seeded()) for _ in range(2))
    assert first.n_blocks == 2
    assert first.residual
    assert not first.training
    assert next(first.parameters()).dtype == torch.float64
    assert first(ready.weight).equal(same(ready.weight))
    assert not first(ready.weight).allclose(ready.weight)
    assert ready.weight.equal(before[0])
    assert ready.bank.splits[0].models.equal(before[1])
