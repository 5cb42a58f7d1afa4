"""The training loop: its loss, its moments, its learning rate."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from headtail.methods import _training
from headtail.methods._training import feature_moments, train


def test_the_loss_is_cross_entropy_with_its_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = (20 * torch.randn(50, 7, generator=generator)).double().requires_grad_()
    labels = torch.randint(7, (50,), generator=generator)
    ours = _training._cross_entropy(logits, labels)
    (gradient,) = torch.autograd.grad(ours, logits)
    expected = F.cross_entropy(logits, labels)
    (reference,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradient, reference, rtol=1e-7, atol=1e-15)


def test_a_hopeless_true_class_still_pulls():
    logits = torch.tensor([[0.0, 200.0]], requires_grad=True)
    loss = _training._cross_entropy(logits, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)
    assert logits.grad.tolist() == [[-1.0, 1.0]]


def test_moments_match_numpy_even_far_from_zero(monkeypatch):
    X = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32) + 1e4
    monkeypatch.setattr(
        _training,
        "row_blocks",
        lambda n_rows, _: (slice(i, i + 7) for i in range(0, n_rows, 7)),
    )
    mean, spread = feature_moments(torch.from_numpy(X))
    exact = X.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-12)
    assert spread == pytest.approx(np.sqrt(exact.var(axis=0).sum()), rel=1e-9)


def test_one_step_of_sgd_is_one_step_down_the_gradient():
    weight = torch.zeros(2, 3, requires_grad=True)
    features, labels = torch.eye(3)[:2], torch.tensor([0, 1])
    seen = []
    train(
        lambda batch: batch @ weight.T,
        [weight],
        features,
        labels,
        torch.tensor([[0, 1]]),
        optimizer="sgd",
        learning_rate=1.0,
        weight_decay=0.0,
        batch_size=2,
        label="test",
        after_step=lambda: seen.append(weight.clone()),
    )
    # Nesterov's first step is (1 + momentum) times the gradient, here ±¼.
    expected = 1.9 * torch.tensor([[0.25, -0.25, 0.0], [-0.25, 0.25, 0.0]])
    torch.testing.assert_close(weight.detach(), expected)
    assert len(seen) == 1


def test_the_rate_falls_to_zero_and_decay_spares_the_bias(monkeypatch):
    rates, groups = [], []
    optimizer = torch.optim.SGD

    class Spy(optimizer):
        def step(self, *arguments):
            rates.append(self.param_groups[0]["lr"])
            groups.append([g["weight_decay"] for g in self.param_groups])
            return super().step(*arguments)

    monkeypatch.setattr(torch.optim, "SGD", Spy)
    weight = torch.zeros(2, 1, requires_grad=True)
    bias = torch.zeros(2, requires_grad=True)
    train(
        lambda batch: batch @ weight.T + bias,
        [weight, bias],
        torch.ones(4, 1),
        torch.tensor([0, 1, 0, 1]),
        torch.arange(4).expand(5, 4),
        optimizer="sgd",
        learning_rate=2.0,
        weight_decay=0.1,
        batch_size=2,
        label="test",
    )
    expected = 1 + np.cos(np.pi * np.arange(10) / 10)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert groups[0] == [0.1, 0.0]
