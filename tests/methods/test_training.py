"""The training loop: its batches, its clock, its learning rate; and the moments."""

import numpy as np
import pytest
import torch

from headtail.losses import CrossEntropyLoss, Loss
from headtail.methods import _training
from headtail.methods._training import feature_moments, rows_of, train


def run(logits, parameters, labels, **options):
    settings = {
        "loss": CrossEntropyLoss(),
        "sampling": "instance",
        "epochs": 1,
        "generator": torch.Generator().manual_seed(0),
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "weight_decay": 0.0,
        "batch_size": 2,
        "label": "test",
    }
    train(logits, parameters, labels, **settings | options)


class SpyLoss(Loss):
    """Cross-entropy that keeps what it was told."""

    def __init__(self):
        super().__init__()
        self.progress, self.labels = [], []

    def advance(self, progress):
        self.progress.append(progress)

    def forward(self, logits, labels):
        self.labels.append(labels.tolist())
        return CrossEntropyLoss()(logits, labels)


def test_moments_match_numpy_even_far_from_zero(monkeypatch):
    X = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32) + 1e4
    monkeypatch.setattr(
        _training,
        "row_blocks",
        lambda n_rows, *_, **__: (slice(i, i + 7) for i in range(0, n_rows, 7)),
    )
    mean, spread = feature_moments(torch.from_numpy(X))
    exact = X.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-12)
    assert spread == pytest.approx(np.sqrt(exact.var(axis=0).sum()), rel=1e-9)


def test_one_step_of_sgd_is_one_step_down_the_gradient():
    weight = torch.zeros(2, 3, requires_grad=True)
    features, labels = torch.eye(3)[:2], torch.tensor([0, 1])
    seen = []
    run(
        lambda rows: features[rows] @ weight.T,
        [weight],
        labels,
        after_step=lambda: seen.append((weight.clone(), torch.is_grad_enabled())),
    )
    # Nesterov's first step is (1 + momentum) times the gradient, here ±¼.
    expected = 1.9 * torch.tensor([[0.25, -0.25, 0.0], [-0.25, 0.25, 0.0]])
    torch.testing.assert_close(weight.detach(), expected)
    assert [enabled for _, enabled in seen] == [False]
    assert seen[0][0].equal(weight)


def test_the_loss_given_is_what_is_minimised():
    weight = torch.zeros(2, 2, requires_grad=True)
    run(
        lambda rows: torch.eye(2)[rows] @ weight.T,
        [weight],
        torch.tensor([0, 1]),
        loss=CrossEntropyLoss(weight=[3.0, 1.0]),
    )
    # Example 0 counts three quarters, example 1 a quarter.
    expected = 1.9 * torch.tensor([[0.375, -0.125], [-0.375, 0.125]])
    torch.testing.assert_close(weight.detach(), expected)


def test_the_loss_is_told_the_time_before_every_step():
    loss, labels = SpyLoss(), torch.tensor([0, 1, 0, 1, 1])
    weight = torch.zeros(2, requires_grad=True)
    run(lambda rows: weight.expand(len(rows), 2), [weight], labels, loss=loss, epochs=4)
    assert loss.progress == [step / 12 for step in range(12)]
    assert [len(batch) for batch in loss.labels] == [2, 2, 1] * 4


def test_rows_and_labels_of_a_batch_belong_together():
    loss, labels = SpyLoss(), torch.tensor([0, 1, 2, 1, 0, 2, 2])
    weight = torch.zeros(3, requires_grad=True)
    shown = []

    def logits(rows):
        shown.append(labels[rows].tolist())
        return weight.expand(len(rows), 3)

    run(logits, [weight], labels, loss=loss, epochs=2)
    assert loss.labels == shown
    assert sorted(label for batch in shown[:4] for label in batch) == [
        0,
        0,
        1,
        1,
        2,
        2,
        2,
    ]


@pytest.mark.parametrize(("sampling", "size"), [("over", 12), ("under", 4)])
def test_epochs_of_another_length_keep_time(sampling, size):
    loss, labels = SpyLoss(), torch.tensor([0] * 6 + [1] * 2)
    weight = torch.zeros(2, requires_grad=True)
    run(
        lambda rows: weight.expand(len(rows), 2),
        [weight],
        labels,
        loss=loss,
        sampling=sampling,
        epochs=3,
        batch_size=5,
    )
    n_steps = len(loss.progress)
    assert loss.progress == [step / n_steps for step in range(n_steps)]
    assert sum(len(batch) for batch in loss.labels) == 3 * size


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
    run(
        lambda rows: torch.ones(len(rows), 1) @ weight.T + bias,
        [weight, bias],
        torch.tensor([0, 1, 0, 1]),
        epochs=5,
        learning_rate=2.0,
        weight_decay=0.1,
    )
    expected = 1 + np.cos(np.pi * np.arange(10) / 10)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert groups[0] == [0.1, 0.0]


def test_rows_come_in_the_dtype_of_the_work():
    features = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=torch.uint8)
    rows = rows_of(features, torch.tensor([2, 0]), torch.zeros(1, dtype=torch.float64))
    assert rows.dtype == torch.float64
    assert rows.tolist() == [[5.0, 6.0], [1.0, 2.0]]
