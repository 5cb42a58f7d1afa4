"""Training the chain: its loss, what every stage changes, and what can be learned."""

import math

import pytest
import torch

from headtail.methods._chain import Chain
from headtail.methods.transfer._chain_training import (
    Split,
    Task,
    pair_loss,
    train_chain,
)

USUAL = {
    "scale": 1.0,
    "performance_weight": 0.1,
    "steps": 3,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "label": "training",
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def split_of(models, target, calls=None):
    """Return a split of 30 examples for the cross-entropy."""
    features = randn(30, target.shape[1], seed=9)

    def gather(rows):
        if calls is not None:
            calls.append(rows)
        return features[rows]

    return Split(models, target, gather, torch.arange(30) % len(target))


def some_splits(n=3):
    target = randn(4, 5, seed=1)
    return [split_of(target + randn(10, 4, 5, seed=i), target) for i in range(2, 2 + n)]


def fresh(n_blocks, n_features=5, *, residual=True):
    return Chain(n_blocks, n_features, residual=residual, generator=seeded()).double()


def state_of(chain):
    """Return every block's tensors, the batch norms' moments too."""
    return [
        [value.clone() for value in block.state_dict().values()]
        for block in chain.blocks
    ]


def same(first, second):
    return all(a.equal(b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("performance_weight", [0.0, 0.5, 3.0])
def test_the_loss_is_a_mean_over_classes_and_one_over_examples(performance_weight):
    predicted, target = randn(2, 3, 5), randn(3, 5, seed=1)
    features, labels = randn(7, 5, seed=2), torch.tensor([0, 2, 1, 1, 0, 2, 2])
    squared = [
        sum((predicted[m, c, f] - target[c, f]) ** 2 for f in range(5))
        for m in range(2)
        for c in range(3)
    ]
    unit = sum(target[c] @ target[c] for c in range(3)) / 3
    entropy = []
    for model in predicted:
        for x, label in zip(features, labels.tolist(), strict=True):
            logits = [1.7 * float(x @ weight) for weight in model]
            total = math.log(sum(math.exp(z) for z in logits))
            entropy.append(total - logits[label])
    expected = sum(squared) / len(squared) / unit
    expected = expected + performance_weight * sum(entropy) / len(entropy)
    loss = pair_loss(
        predicted,
        target,
        features,
        labels,
        scale=1.7,
        performance_weight=performance_weight,
    )
    torch.testing.assert_close(loss, expected)


def test_the_distance_has_no_unit():
    predicted, target = randn(2, 3, 5), randn(3, 5, seed=1)
    features, labels = randn(7, 5, seed=2), torch.arange(7) % 3
    usual, large = (
        pair_loss(
            factor * predicted,
            factor * target,
            features,
            labels,
            scale=1.0 / factor,
            performance_weight=2.0,
        )
        for factor in (1.0, 1000.0)
    )
    torch.testing.assert_close(usual, large)


@pytest.mark.parametrize("residual", [True, False])
def test_a_stage_leaves_the_blocks_before_it_as_they_are(residual):
    splits = some_splits()
    for stage in (
        [Task(2, 2)],
        [Task(1, 1), Task(2, 2)],
        [Task(0, 0), Task(1, 1), Task(2, 2)],
    ):
        chain = fresh(3, residual=residual)
        before = state_of(chain)
        train_chain(chain, splits, [stage], **USUAL, generator=seeded())
        first = stage[0][1]
        for block, (old, new) in enumerate(zip(before, state_of(chain), strict=True)):
            assert same(old, new) == (block < first)
            if block >= first:
                assert not any(
                    a.equal(b) for a, b in zip(old, new, strict=True) if a.ndim
                )


def test_stages_come_one_after_another():
    splits, stages = some_splits(), [[Task(2, 2)], [Task(1, 1), Task(2, 2)]]
    whole, parts = fresh(3), fresh(3)
    train_chain(whole, splits, stages, **USUAL, generator=seeded())
    generator = seeded()
    for stage in stages:
        train_chain(parts, splits, [stage], **USUAL, generator=generator)
    assert whole(randn(9, 5)).equal(parts(randn(9, 5)))


def test_every_step_shows_the_first_task_and_one_of_the_others():
    target = randn(4, 5, seed=1)
    calls = [[] for _ in range(3)]
    splits = [split_of(target + randn(10, 4, 5), target, own) for own in calls]
    settings = USUAL | {"steps": 40}
    stages = [[Task(0, 0), Task(1, 1), Task(2, 2)]]
    train_chain(fresh(3), splits, stages, **settings, generator=seeded())
    first, *others = (len(own) for own in calls)
    assert first == sum(others) == 40
    assert min(others) > 8
    assert all(len(rows) == 256 for own in calls for rows in own)


def test_the_chain_ends_in_evaluation_mode():
    chain = fresh(2)
    train_chain(chain, some_splits(2), [[Task(1, 1)]], **USUAL, generator=seeded())
    assert not any(module.training for module in chain.modules())


def test_training_repeats_with_the_generator():
    stages = [[Task(1, 1)], [Task(0, 0), Task(1, 1)]]
    results = []
    for seed in (0, 0, 1):
        chain = fresh(2)
        train_chain(chain, some_splits(), stages, **USUAL, generator=seeded(seed))
        results.append([value for block in state_of(chain) for value in block])
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_the_pairs_are_left_as_they_are():
    splits = some_splits()
    before = [(split.models.clone(), split.target.clone()) for split in splits]
    train_chain(
        fresh(1), splits, [[Task(0, 0), Task(1, 0)]], **USUAL, generator=seeded()
    )
    for split, (models, target) in zip(splits, before, strict=True):
        assert split.models.equal(models)
        assert split.target.equal(target)
        assert not split.models.requires_grad


def test_where_there_is_nothing_to_learn_the_identity_stays():
    target = randn(4, 5, seed=1)
    chain, settings = fresh(2), USUAL | {"performance_weight": 0.0}
    splits = [split_of(target.expand(10, -1, -1).clone(), target)]
    train_chain(chain, splits, [[Task(0, 0)]], **settings, generator=seeded())
    assert chain(target).equal(target)


def test_the_cross_entropy_has_its_weight():
    target = randn(4, 5, seed=1)
    split = split_of(target.expand(10, -1, -1).clone(), target)
    rows = torch.arange(30)
    losses, distances = [], []
    for weight in (0.0, 1.0, 100.0):
        chain = fresh(1)
        settings = USUAL | {"performance_weight": weight, "steps": 40}
        train_chain(chain, [split], [[Task(0, 0)]], **settings, generator=seeded())
        moved = chain(target).detach()
        losses.append(
            torch.nn.functional.cross_entropy(
                split.gather(rows) @ moved.T, split.labels
            )
        )
        distances.append((moved - target).norm())
    assert losses[0] > losses[1] > losses[2]
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("world", ["twice", "turned"])
def test_a_known_way_from_few_to_many_is_found(residual, world):
    # What many examples would give is a linear map of what few gave.
    turn = torch.linalg.qr(randn(6, 6, seed=5)).Q
    way = 2 * torch.eye(6).double() if world == "twice" else 1.5 * turn
    models, held_out = randn(2, 400, 6, seed=1)
    chain = fresh(1, 6, residual=residual)
    settings = USUAL | {
        "performance_weight": 0.0,
        "steps": 250,
        "learning_rate": 0.03,
    }
    split = split_of(models[None], models @ way)
    train_chain(chain, [split], [[Task(0, 0)]], **settings, generator=seeded())
    wanted = held_out @ way
    error = (chain(held_out) - wanted).square().mean()
    assert error < 0.1 * (held_out - wanted).square().mean()
    assert error < 0.1 * wanted.square().mean()


def test_every_number_of_shots_finds_its_own_way():
    # Weights grow with the examples: by 2 at every block.
    target = 4 * randn(300, 4, seed=1)
    splits = [
        split_of(target[None] / factor + 0.05 * randn(3, 300, 4, seed=2), target)
        for factor in (4, 2)
    ]
    chain = fresh(2, 4)
    settings = USUAL | {"performance_weight": 0.0, "steps": 200, "learning_rate": 0.03}
    stages = [[Task(1, 1)], [Task(0, 0), Task(1, 1)]]
    train_chain(chain, splits, stages, **settings, generator=seeded())
    wanted = 4 * randn(300, 4, seed=7)
    for start, factor in ((0, 4), (1, 2)):
        error = (chain(wanted / factor, start) - wanted).square().mean()
        assert error < 0.4 * (wanted / factor - wanted).square().mean()
