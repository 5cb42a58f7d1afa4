"""Balanced training: an own loop in NumPy, what is shown, what is kept."""

import math

import numpy as np
import pytest
import torch

from headtail.methods.transfer import _balanced_training
from headtail.methods.transfer._balanced_training import (
    BalancedWeights,
    directions_of_rows,
    train_balanced,
)
from headtail.methods.transfer._mixture import whitened_directions
from headtail.samplers import draw_epochs
from headtail.tensors import unit

COUNTS = [30, 11, 2]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def data():
    """Directions of three classes, their labels in random order, and prototypes."""
    labels = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))
    labels = labels[torch.randperm(len(labels), generator=generator(1))]
    noise = torch.randn(len(labels), 6, generator=generator(2), dtype=torch.float64)
    x = unit(3 * torch.eye(3, 6)[labels] + noise)
    means = torch.stack([x[labels == c].mean(dim=0) for c in range(3)])
    return x, labels, unit(means)


def trained(data, seed=0, **options):
    x, labels, prototypes = data
    rows = torch.arange(len(labels))
    return train_balanced(
        lambda batch: x[batch], labels, rows, prototypes, generator(seed), **options
    )


def shown_batches(x, labels, n_epochs, noise, batch_size):
    """Draw the batches as training does: an epoch's order, then its noise."""
    draws = generator()
    for epoch in draw_epochs(labels, "instance", n_epochs, draws):
        for rows in epoch.split(batch_size):
            shown = x[rows].numpy()
            if noise:
                drawn = torch.randn(shown.shape, generator=draws).double().numpy()
                shown = shown + noise * drawn / math.sqrt(x.shape[1])
                shown = shown / np.linalg.norm(shown, axis=1)[:, None]
            yield shown, labels[rows].numpy()


def reference_training(x, labels, prototypes, n_epochs, *, noise=0.0, batch_size=2):
    """Nesterov's descent of the balanced softmax, with derivatives by hand."""
    settings = _balanced_training
    highest = settings._RATE * math.sqrt(batch_size / settings._BATCH)
    batches = list(shown_batches(x, labels, n_epochs, noise, batch_size))
    labels, prototypes = labels.numpy(), prototypes.numpy()
    apart = prototypes - prototypes.mean(axis=0)
    weight = settings._SCALE * apart / np.linalg.norm(apart, axis=1)[:, None]
    bias = np.zeros(len(weight))
    speeds = [np.zeros_like(weight), np.zeros_like(bias)]
    for step, (shown, classes) in enumerate(batches):
        rate = highest * (1 + math.cos(math.pi * step / len(batches))) / 2
        odds = np.exp(shown @ weight.T + bias) * np.bincount(labels)
        error = odds / odds.sum(axis=1)[:, None] - np.eye(len(weight))[classes]
        error /= len(shown)
        slopes = [error.T @ shown + settings._DECAY * weight, error.sum(axis=0)]
        speeds = [0.9 * v + g for v, g in zip(speeds, slopes, strict=True)]
        weight = weight - rate * (slopes[0] + 0.9 * speeds[0])
        bias = bias - rate * (slopes[1] + 0.9 * speeds[1])
    return weight - weight.mean(axis=0), bias - bias.mean()


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_training_is_that_of_an_own_loop(data, noise):
    ours = trained(data, noise=noise)
    n_epochs = _balanced_training._MOST_EPOCHS
    weight, bias = reference_training(*data, n_epochs, noise=noise)
    np.testing.assert_allclose(ours.weight.numpy(), weight, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(ours.bias.numpy(), bias, rtol=1e-7, atol=1e-7)


def test_small_data_come_in_so_many_batches_an_epoch(data, monkeypatch):
    # 43 examples in batches of seven, and never more than the constant in one.
    n_epochs = _balanced_training._MOST_EPOCHS
    monkeypatch.setattr(_balanced_training, "_LEAST_STEPS_PER_EPOCH", 7)
    for batch, batch_size in ((128, 7), (3, 3)):
        monkeypatch.setattr(_balanced_training, "_BATCH", batch)
        weight, _ = reference_training(*data, n_epochs, batch_size=batch_size)
        np.testing.assert_allclose(trained(data).weight.numpy(), weight, atol=1e-6)


def test_fewer_epochs_are_enough_for_many_examples(data, monkeypatch):
    monkeypatch.setattr(_balanced_training, "_MOST_SHOWN", 2 * sum(COUNTS) + 1)
    weight, _ = reference_training(*data, 3)
    np.testing.assert_allclose(trained(data).weight.numpy(), weight, atol=1e-7)


@pytest.mark.parametrize(("large_from", "batch_size"), [(43, 8), (44, 2)])
def test_many_examples_come_in_large_batches(data, monkeypatch, large_from, batch_size):
    settings = {"_BATCH": 2, "_LARGE_BATCH": 8, "_LARGE_FROM": large_from}
    for name, value in {**settings, "_LEAST_STEPS_PER_EPOCH": 1}.items():
        monkeypatch.setattr(_balanced_training, name, value)
    ours = trained(data)
    n_epochs = _balanced_training._MOST_EPOCHS
    weight, _ = reference_training(*data, n_epochs, batch_size=batch_size)
    np.testing.assert_allclose(ours.weight.numpy(), weight, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_and_biases_sum_to_zero_over_classes(data, dtype):
    x, labels, prototypes = data
    ours = trained((x.to(dtype), labels, prototypes.to(dtype)))
    assert ours.weight.dtype == ours.bias.dtype == dtype
    assert not ours.weight.requires_grad
    zero = torch.zeros(6, dtype=dtype)
    torch.testing.assert_close(ours.weight.sum(dim=0), zero, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.bias.sum(), zero.sum(), atol=1e-5, rtol=0)


def test_the_prototypes_passed_in_stay_as_they_are(data):
    before = data[2].clone()
    trained(data)
    assert data[2].equal(before)


def test_same_seed_same_weights_another_seed_others(data):
    first, second, other = trained(data), trained(data), trained(data, seed=1)
    assert first.weight.equal(second.weight)
    assert first.bias.equal(second.bias)
    assert not first.weight.equal(other.weight)


def asked_for(data, rows, seed=0):
    """Return how often each example is shown when `rows` are learned from."""
    x, labels, prototypes = data
    shown = torch.zeros(len(x), dtype=torch.int64)

    def directions(batch):
        shown.index_add_(0, batch, torch.ones_like(batch))
        return x[batch]

    train_balanced(directions, labels[rows], rows, prototypes, generator(seed))
    return shown


def test_the_rows_given_are_shown_once_an_epoch_and_no_others(data):
    rows = torch.arange(len(data[0]))[::2]
    shown = asked_for(data, rows)
    assert (shown[rows] == _balanced_training._MOST_EPOCHS).all()
    assert shown.sum() == shown[rows].sum()


def test_only_so_many_as_are_the_most_are_all_shown(data, monkeypatch):
    monkeypatch.setattr(_balanced_training, "_MOST_SHOWN", sum(COUNTS))
    assert asked_for(data, torch.arange(sum(COUNTS))).tolist() == [1] * sum(COUNTS)


def test_of_more_examples_the_largest_classes_show_a_part(data, monkeypatch):
    monkeypatch.setattr(_balanced_training, "_MOST_SHOWN", 21)
    seen = []
    loss = _balanced_training.BalancedSoftmaxLoss
    monkeypatch.setattr(
        _balanced_training,
        "BalancedSoftmaxLoss",
        lambda counts: seen.append(counts.tolist()) or loss(counts),
    )
    shown = asked_for(data, torch.arange(sum(COUNTS)))
    assert shown.max() == 1
    per_class = torch.bincount(data[1], weights=shown.double())
    # Ten, ten and two would be too many; the loss counts what is shown.
    assert per_class.tolist() == [9, 9, 2]
    assert seen == [[9, 9, 2]]
    other = asked_for(data, torch.arange(sum(COUNTS)), seed=1)
    assert not other.equal(shown)


def test_a_class_keeps_an_example_however_few_are_shown(data, monkeypatch):
    monkeypatch.setattr(_balanced_training, "_MOST_SHOWN", 1)
    shown = asked_for(data, torch.arange(sum(COUNTS)))
    assert torch.bincount(data[1], weights=shown.double()).min() >= 1


@pytest.mark.parametrize("counts", [[1, 1], [1, 1, 1, 1], [200, 1]])
def test_the_smallest_problems_have_finite_weights(counts):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    prototypes = torch.eye(len(counts), 5)
    ours = trained((prototypes[labels], labels, prototypes))
    assert all(part.isfinite().all() for part in ours)
    predicted = (prototypes @ ours.weight.T + ours.bias).argmax(dim=1)
    assert predicted.tolist() == list(range(len(counts)))


def test_classes_at_one_place_have_finite_weights():
    labels = torch.tensor([0, 0, 1])
    ours = trained((torch.zeros(3, 2), labels, torch.zeros(2, 2)))
    assert all(part.isfinite().all() for part in ours)


def test_the_scale_is_the_mean_length_of_the_rows():
    weights = BalancedWeights(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.zeros(2))
    assert weights.scale.item() == 3.5


@pytest.fixture
def space():
    """Features in float32, a map and a centre in float64."""
    features = torch.randn(50, 4, generator=generator(3))
    map = torch.randn(4, 4, generator=generator(4), dtype=torch.float64)
    return features, map, torch.full((4,), 0.1, dtype=torch.float64)


def test_directions_of_rows_are_the_whitened_directions_of_rows(space, monkeypatch):
    features, map, center = space
    expected = whitened_directions(features.double(), map, center)
    rows = torch.tensor([7, 0, 7, 49])
    for most_kept in (features.numel(), features.numel() - 1):
        monkeypatch.setattr(_balanced_training, "_MOST_KEPT", most_kept)
        ours = directions_of_rows(*space)(rows)
        torch.testing.assert_close(ours, expected[rows])
        assert ours.dtype == torch.float64


@pytest.mark.parametrize(("spare", "more"), [(0, 0), (-1, 2)])
def test_directions_are_kept_where_they_are_few(space, monkeypatch, spare, more):
    calls = []
    monkeypatch.setattr(
        _balanced_training,
        "whitened_directions",
        lambda *parts: calls.append(1) or whitened_directions(*parts),
    )
    monkeypatch.setattr(_balanced_training, "_MOST_KEPT", space[0].numel() + spare)
    directions = directions_of_rows(*space)
    before = len(calls)
    for _ in range(2):
        directions(torch.tensor([1, 2]))
    assert len(calls) - before == more


def test_directions_are_kept_block_by_block(space, monkeypatch):
    expected = directions_of_rows(*space)(torch.arange(50))
    monkeypatch.setattr(
        _balanced_training,
        "row_blocks",
        lambda n_rows, _: (slice(i, i + 7) for i in range(0, n_rows, 7)),
    )
    torch.testing.assert_close(directions_of_rows(*space)(torch.arange(50)), expected)


def test_training_is_the_same_whether_directions_are_kept_or_not(space, monkeypatch):
    features, map, center = space
    labels = torch.arange(50) % 3
    prototypes = torch.eye(3, 4).double()
    results = []
    for most_kept in (10**6, 0):
        monkeypatch.setattr(_balanced_training, "_MOST_KEPT", most_kept)
        directions = directions_of_rows(features, map, center)
        rows = torch.arange(50)
        results.append(
            train_balanced(directions, labels, rows, prototypes, generator())
        )
    torch.testing.assert_close(
        results[0].weight, results[1].weight, rtol=1e-5, atol=1e-5
    )
