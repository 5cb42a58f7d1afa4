"""AlphaNet's networks against explicit layers of PyTorch."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from headtail.methods.transfer import _coefficient_networks as networks
from headtail.methods.transfer._coefficient_networks import (
    DirectCoefficients,
    PerClassNetworks,
    SharedNetwork,
    first_layers,
)
from headtail.methods.transfer._coefficient_training import (
    Composition,
    Schedule,
    _epochs,
    train_coefficients,
)
from headtail.methods.transfer._coefficients import bounded_coefficients

FEW = torch.tensor([1, 4])
VECTORS = torch.tensor([[1, 0, 3, 5], [4, 2, 0, 3]])
LABELS = torch.repeat_interleave(torch.arange(6), torch.tensor([30, 7, 25, 20, 4, 21]))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(seed, *shape):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def per_class(inputs, gamma=0.6, n_vectors=4, width=3, seed=0):
    generator = seeded(seed)
    hidden = first_layers(inputs, width, generator)
    return PerClassNetworks(hidden, inputs, gamma, n_vectors, generator)


class Explicit(nn.Module):
    """Two layers per class, with all their weights, that start where `net` is."""

    def __init__(self, net, inputs):
        super().__init__()
        self.inputs = inputs
        self.gamma = net.gamma
        self.towers = nn.ModuleList()
        hidden = (net.step_factor * net.hidden).detach()
        for i in range(len(hidden)):
            first = nn.Linear(inputs.shape[1], hidden.shape[1]).double()
            second = nn.Linear(*reversed(net.weight[i].shape)).double()
            with torch.no_grad():
                first.weight.copy_(normal(10 + i, *first.weight.shape))
                first.bias.copy_(hidden[i] - first.weight @ inputs[i])
                second.weight.copy_(net.weight[i])
                second.bias.copy_(net.bias[i])
            self.towers.append(nn.Sequential(first, nn.LeakyReLU(0.01), second))

    def forward(self):
        towers = zip(self.towers, self.inputs, strict=True)
        return bounded_coefficients(
            torch.stack([tower(x) for tower, x in towers]), self.gamma
        )


def train_by_hand(network, composition, logits, schedule, generator):
    """SGD with momentum 0.9, written out; return every epoch's coefficients."""
    parameters = list(network.parameters())
    speeds = [torch.zeros_like(p) for p in parameters]
    history, lengths = [], []
    epochs = _epochs(LABELS, composition.few, schedule, generator)
    for epoch, rows in enumerate(epochs):
        rate = schedule.learning_rate * 0.1 ** (epoch // schedule.decay_every)
        for start in range(0, len(rows), schedule.batch_size):
            batch = rows[start : start + schedule.batch_size]
            z = composition.logits(logits[batch], network())
            gradients = torch.autograd.grad(
                F.cross_entropy(z, LABELS[batch]), parameters
            )
            length = math.sqrt(sum(float((g**2).sum()) for g in gradients))
            lengths.append(length)
            with torch.no_grad():
                for p, speed, g in zip(parameters, speeds, gradients, strict=True):
                    speed.mul_(0.9).add_(g / max(length + 1e-6, 1.0))
                    p.sub_(rate * speed)
        history.append(network().detach())
    return torch.stack(history), lengths


@pytest.mark.parametrize("gamma", [0.2, 0.6])
def test_training_is_that_of_explicit_networks_number_by_number(gamma):
    inputs = 2 * normal(1, 2, 11)
    net = per_class(inputs, gamma)
    explicit = Explicit(net, inputs)
    torch.testing.assert_close(explicit(), net(), rtol=1e-12, atol=1e-12)
    composition = Composition(FEW, VECTORS, normal(2, 6), True)
    logits = 3 * normal(3, len(LABELS), 6) + F.one_hot(LABELS, 6)
    schedule = Schedule(12, 8, 0.1, 5, False, 1.0, False)
    ours = train_coefficients(
        net,
        composition,
        lambda rows: logits[rows],
        LABELS,
        schedule=schedule,
        generator=seeded(5),
        label="",
    )
    theirs, lengths = train_by_hand(explicit, composition, logits, schedule, seeded(5))
    assert min(lengths) < 1 < max(lengths)  # clipped, and not clipped
    assert (ours[0] - ours[-1]).abs().max() > 0.05
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    # Not only what comes out: what the first layers give too.
    hidden = torch.stack(
        [tower[0](x) for tower, x in zip(explicit.towers, inputs, strict=True)]
    )
    torch.testing.assert_close(
        net.step_factor * net.hidden, hidden, rtol=1e-9, atol=1e-9
    )
    assert any((hidden[i] < 0).any() for i in range(2))


@pytest.mark.parametrize("budget", [1, 500, 2**26])
def test_blocks_of_first_layers_change_nothing(budget, monkeypatch):
    inputs = normal(0, 7, 9)
    whole = first_layers(inputs, 5, seeded())
    blocks = networks.row_blocks
    monkeypatch.setattr(
        networks, "row_blocks", lambda n, size, _: blocks(n, size, budget)
    )
    torch.testing.assert_close(first_layers(inputs, 5, seeded()), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_layers_are_repeatable_and_keep_the_dtype(dtype):
    inputs = normal(0, 3, 4).to(dtype)
    first, same, other = (first_layers(inputs, 5, seeded(s)) for s in (1, 1, 2))
    assert first.equal(same)
    assert not first.equal(other)
    assert first.dtype == dtype


def test_first_layers_are_drawn_as_pytorch_draws_them():
    # U(-b, b) with b = n_inputs ** -0.5: variance b² / 3 for weights and bias.
    n_inputs, width = 8, 20_000
    inputs = torch.stack([torch.zeros(n_inputs), torch.ones(n_inputs)]).double()
    inputs[1] *= 3
    hidden = first_layers(inputs, width, seeded())
    bound = n_inputs**-0.5
    assert hidden[0].abs().max() <= bound
    assert hidden[0].abs().max() > 0.999 * bound
    np.testing.assert_allclose(hidden.mean(dim=1), [0, 0], atol=0.05)
    torch.manual_seed(0)
    layer = nn.Linear(n_inputs, width).double()
    with torch.no_grad():
        np.testing.assert_allclose(
            hidden.std(dim=1), layer(inputs).std(dim=1), rtol=0.03
        )
    # Classes have layers of their own.
    apart = first_layers(inputs[1:].expand(2, -1), width, seeded())
    assert abs(np.corrcoef(apart.numpy())[0, 1]) < 0.05


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("n_vectors", [2, 4])
def test_coefficients_start_at_gamma_and_equal_parts_of_the_rest(gamma, n_vectors):
    start = [[gamma] + [(1 - gamma) / (n_vectors - 1)] * (n_vectors - 1)] * 2
    net = per_class(normal(0, 2, 6), gamma, n_vectors)
    direct = DirectCoefficients(2, n_vectors, gamma, normal(0, 1))
    for network in (net, direct):
        with torch.no_grad():
            np.testing.assert_allclose(network(), start, rtol=1e-6, atol=1e-12)
        assert network().dtype == torch.float64
    # Also before the clamps, which would hide another start.
    for raw in (net._outputs(), direct.raw):
        np.testing.assert_allclose(raw.detach(), start, rtol=1e-6, atol=1e-7)


def test_second_layers_are_drawn_class_by_class():
    net = per_class(normal(0, 2, 6), width=2_000)
    bound = 2_000**-0.5
    assert 0.99 * bound < net.weight.abs().max() <= bound
    assert net.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert not net.weight[0].equal(net.weight[1])


def test_one_class_learns_from_nothing_of_another():
    net = per_class(normal(0, 2, 6))
    net()[0].sum().backward()
    for parameter in net.parameters():
        assert (parameter.grad[1] == 0).all()
    assert set(dict(net.named_parameters())) == {"hidden", "weight", "bias"}


def test_direct_coefficients_are_the_bounded_parameter():
    direct = DirectCoefficients(2, 3, 0.6, torch.zeros(1))
    (raw,) = direct.parameters()
    with torch.no_grad():
        raw.copy_(torch.tensor([[8.0, 1.0, -1.0], [0.1, -0.4, 0.5]]))
    assert direct().equal(bounded_coefficients(raw, 0.6))
    assert direct().dtype == torch.float32


def test_the_shared_network_gives_one_and_parts_that_sum_to_one():
    net = SharedNetwork(normal(0, 5, 12), 4, seeded())
    ours = net()
    assert ours.shape == (5, 4)
    assert ours[:, 0].tolist() == [1.0] * 5
    torch.testing.assert_close(ours[:, 1:].abs().sum(dim=1), torch.ones(5).double())
    assert (ours < 0).any()


def test_the_shared_network_is_four_layers_that_all_classes_share():
    inputs = normal(0, 5, 12)
    net = SharedNetwork(inputs, 4, seeded())
    shapes = [tuple(layer.weight.shape) for layer in net.layers]
    assert shapes == [(32, 12), (32, 32), (32, 32), (3, 32)]
    values = inputs
    for layer in net.layers:
        values = values @ layer.weight.T + layer.bias
        if layer is not net.layers[-1]:
            values = torch.where(values < 0, 0.01 * values, values)
    expected = values / values.abs().sum(dim=1, keepdim=True)
    torch.testing.assert_close(net()[:, 1:], expected)
    order = torch.tensor([3, 1, 4, 0, 2])
    permuted = SharedNetwork(inputs[order], 4, seeded())
    torch.testing.assert_close(permuted(), net()[order])


def test_the_shared_network_is_drawn_from_the_generator_alone():
    inputs = normal(0, 5, 12).float()
    torch.manual_seed(1)
    first = SharedNetwork(inputs, 4, seeded(3))
    torch.manual_seed(2)
    second = SharedNetwork(inputs, 4, seeded(3))
    assert first().equal(second())
    assert not first().equal(SharedNetwork(inputs, 4, seeded(4))())
    for layer in first.layers:
        bound = layer.in_features**-0.5
        for parameter in layer.parameters():
            assert parameter.abs().max() <= bound
        assert layer.weight.abs().max() > 0.9 * bound
