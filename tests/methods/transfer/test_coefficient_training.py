"""The training of AlphaNet's coefficients: what is computed, shown and stepped."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from headtail.heads import LinearHead
from headtail.methods.transfer import _coefficient_training as training
from headtail.methods.transfer._coefficient_networks import (
    DirectCoefficients,
    SharedNetwork,
)
from headtail.methods.transfer._coefficient_training import (
    Composition,
    Schedule,
    _epochs,
    epoch_recalls,
    train_coefficients,
)

GENERATOR = torch.Generator().manual_seed(0)
COUNTS = torch.tensor([40, 3, 25, 20, 6])
LABELS = torch.repeat_interleave(torch.arange(5), COUNTS)
FEW = torch.tensor([1, 4])
VECTORS = torch.tensor([[1, 3, 0], [4, 0, 2]])
X = torch.randn(94, 6, generator=GENERATOR, dtype=torch.float64)
X += 0.5 * torch.eye(5, 6)[LABELS]
WEIGHT = torch.randn(5, 6, generator=GENERATOR, dtype=torch.float64)
BIAS = torch.randn(5, generator=GENERATOR, dtype=torch.float64)
CENTER = torch.randn(6, generator=GENERATOR, dtype=torch.float64)
HEADS = {
    "bare": LinearHead(WEIGHT),
    "biased": LinearHead(WEIGHT, BIAS),
    "centred": LinearHead(WEIGHT, BIAS, center=CENTER, normalize=True),
}
EVERY = pytest.mark.parametrize("kind", HEADS)
COMPOSES_BIAS = pytest.mark.parametrize("composes_bias", [True, False])
SGD = Schedule(6, 10, 0.1, 20, False, 1.0, False)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def composition_of(head, composes_bias=True):
    bias = torch.zeros(5).double() if head.bias is None else head.bias.detach()
    return Composition(FEW, VECTORS, bias, composes_bias)


def logits_of(head):
    with torch.no_grad():
        return head(X)


def composed(head, alpha, composes_bias):
    """Equations 2 and 3, one class at a time."""
    weight = head.weight.detach().clone()
    bias = None if head.bias is None else head.bias.detach().clone()
    for i, c in enumerate(FEW.tolist()):
        given = list(zip(alpha[i].tolist(), VECTORS[i].tolist(), strict=True))
        weight[c] = sum(a * head.weight[v].detach() for a, v in given)
        if bias is not None and composes_bias:
            bias[c] = sum(a * head.bias[v].detach() for a, v in given)
    return LinearHead(weight, bias, center=head.center, normalize=head.normalize)


@EVERY
@COMPOSES_BIAS
def test_composed_logits_are_those_of_the_composed_head(kind, composes_bias):
    head = HEADS[kind]
    alpha = torch.randn(2, 3, generator=seeded(1), dtype=torch.float64)
    composition = composition_of(head, composes_bias)
    frozen = logits_of(head)
    before = frozen.clone()
    ours = composition.logits(frozen, alpha)
    expected = composed(head, alpha, composes_bias)
    torch.testing.assert_close(ours, logits_of(expected), rtol=1e-10, atol=1e-10)
    base = [0, 2, 3]
    assert ours[:, base].equal(frozen[:, base])
    assert frozen.equal(before)
    if head.bias is not None:
        torch.testing.assert_close(composition.biases(alpha), expected.bias[FEW])


@EVERY
@COMPOSES_BIAS
@pytest.mark.parametrize("budget", [2**22, 40])
def test_recalls_are_those_of_the_composed_head_of_every_epoch(
    kind, composes_bias, budget, monkeypatch
):
    blocks = training.row_blocks
    monkeypatch.setattr(training, "row_blocks", lambda n, size: blocks(n, size, budget))
    head = HEADS[kind]
    labels = torch.where(LABELS == 3, 4, LABELS)  # no example of class 3
    history = torch.randn(7, 2, 3, generator=seeded(2), dtype=torch.float64)
    frozen = logits_of(head)
    ours = epoch_recalls(
        history, composition_of(head, composes_bias), lambda r: frozen[r], labels
    )
    assert ours.shape == (7, 5)
    for alpha, recalls in zip(history, ours, strict=True):
        best = logits_of(composed(head, alpha, composes_bias)).argmax(dim=1)
        for c in range(5):
            hits = (best[labels == c] == c).double().mean()
            np.testing.assert_allclose(recalls[c], hits)
    assert ours[:, 3].isnan().all()
    assert len(ours[:, 4].unique()) > 2


def shown(schedule, seed=0, few=FEW):
    return list(_epochs(LABELS, few, schedule, seeded(seed)))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("ratio", "n_base"), [(0.5, 4), (1, 9), (2.4, 22), (30, 270)])
def test_an_epoch_shows_every_few_shot_example_once(ratio, n_base, balanced):
    is_few = torch.isin(LABELS, FEW)
    epochs = shown(SGD._replace(base_ratio=ratio, balanced=balanced))
    assert len(epochs) == 6
    for rows in epochs:
        tail, rest = rows[is_few[rows]], rows[~is_few[rows]]
        assert tail.sort().values.tolist() == is_few.nonzero().flatten().tolist()
        assert len(rest) == n_base
        # Shuffled: few-shot examples do not come first.
        assert rows[:9].tolist() != tail.tolist()
    assert not epochs[0].equal(epochs[1])


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 0.05])
def test_a_ratio_of_nothing_shows_few_shot_examples_alone(ratio, balanced):
    for rows in shown(SGD._replace(base_ratio=ratio, balanced=balanced)):
        assert torch.isin(LABELS[rows], FEW).all()
        assert len(rows) == 9


@pytest.mark.parametrize(
    ("ratio", "least", "most"), [(5, 0, 1), (10, 1, 2), (30, 3, 4)]
)
def test_base_examples_come_as_often_as_each_other(ratio, least, most):
    # 9 few-shot examples and 85 others.
    is_few = torch.isin(LABELS, FEW)
    for rows in shown(SGD._replace(base_ratio=ratio)):
        times = torch.bincount(rows, minlength=94)[~is_few]
        assert times.min() == least
        assert times.max() == most


def test_plain_draws_follow_the_data_and_balanced_ones_favour_rare_classes():
    epochs = {
        balanced: LABELS[
            torch.cat(shown(SGD._replace(base_ratio=300, balanced=balanced)))
        ].bincount()
        for balanced in (False, True)
    }
    shares = {
        balanced: counts[[0, 2, 3]] / counts[[0, 2, 3]].sum()
        for balanced, counts in epochs.items()
    }
    np.testing.assert_allclose(shares[False], np.array([40, 25, 20]) / 85, atol=0.005)
    np.testing.assert_allclose(shares[True], [1 / 3] * 3, atol=0.015)


def trained(network, schedule=SGD, head=HEADS["biased"], seed=0, composes_bias=True):
    frozen = logits_of(head)
    return train_coefficients(
        network,
        composition_of(head, composes_bias),
        lambda rows: frozen[rows],
        LABELS,
        schedule=schedule,
        generator=seeded(seed),
        label="",
    )


def direct(gamma=0.6):
    return DirectCoefficients(2, 3, gamma, WEIGHT)


def shared():
    return SharedNetwork(WEIGHT[VECTORS].flatten(1), 3, seeded())


ADAMW = SGD._replace(adamw=True, balanced=True, learning_rate=0.01)


@pytest.mark.parametrize(("schedule", "wd"), [(SGD, 0), (ADAMW, 0.01)])
def test_the_rate_falls_to_a_tenth_every_few_epochs(schedule, wd, monkeypatch):
    groups = []
    kind = torch.optim.AdamW if schedule.adamw else torch.optim.SGD
    step = kind.step

    def recording(self, *args, **kwargs):
        groups.append(dict(self.param_groups[0]))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(kind, "step", recording)
    trained(direct(), schedule._replace(decay_every=2))
    rate = schedule.learning_rate
    # 18 examples: two steps an epoch.
    expected = [rate] * 4 + [rate / 10] * 4 + [rate / 100] * 4
    np.testing.assert_allclose([group["lr"] for group in groups], expected)
    assert {group["weight_decay"] for group in groups} == {wd}
    if not schedule.adamw:
        assert {group["momentum"] for group in groups} == {0.9}


@pytest.mark.parametrize("make", [direct, shared])
def test_history_ends_where_the_network_stands(make):
    network = make()
    start = network().detach()
    history = trained(network)
    assert history.shape == (6, 2, 3)
    assert not history.requires_grad
    assert history[-1].equal(network())
    assert not history[0].equal(start)


@pytest.mark.parametrize("composes_bias", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.6, 0.9, 1.0])
def test_training_lowers_the_loss_and_keeps_the_bounds(gamma, composes_bias):
    network = direct(gamma)
    frozen = logits_of(HEADS["biased"])
    composition = composition_of(HEADS["biased"], composes_bias)
    rows = torch.isin(LABELS, FEW)

    def loss(alpha):
        return F.cross_entropy(composition.logits(frozen, alpha)[rows], LABELS[rows])

    start = network().detach()
    history = trained(
        network, SGD._replace(epochs=30, base_ratio=0.0), composes_bias=composes_bias
    )
    assert loss(history[-1]) < loss(start) - 1e-3
    assert (history[:, :, 0].abs() <= gamma).all()
    assert (history[:, :, 1:].abs() >= (1 - gamma) / 2).all()


def test_the_loss_is_over_all_classes():
    # A few-shot class alone among its kind would have nothing to learn.
    network = direct()
    head = HEADS["biased"]
    frozen = logits_of(head)
    schedule = SGD._replace(epochs=1, batch_size=100)
    trained(network, schedule)
    (rows,) = shown(schedule._replace(epochs=1))
    expected = direct()
    logits = composition_of(head).logits(frozen[rows], expected())
    log_proba = logits.log_softmax(dim=1)
    loss = -sum(log_proba[i, LABELS[r]] for i, r in enumerate(rows)) / len(rows)
    loss.backward()
    gradient = expected.raw.grad
    gradient /= max(1, gradient.norm())
    torch.testing.assert_close(network.raw, (expected.raw - 0.1 * gradient).detach())


@pytest.mark.parametrize(("make", "schedule"), [(direct, SGD), (shared, ADAMW)])
def test_same_seed_same_result(make, schedule):
    first, same, other = (trained(make(), schedule, seed=s) for s in (1, 1, 2))
    assert first.equal(same)
    assert not first.equal(other)


def test_no_step_is_longer_than_one():
    head = LinearHead(1e6 * WEIGHT, 1e6 * BIAS)
    network = direct()
    before = network.raw.detach().clone()
    trained(network, SGD._replace(epochs=1, batch_size=100), head)
    assert (network.raw - before).norm() <= 0.1 * (1 + 1e-9)
    assert not network.raw.equal(before)
