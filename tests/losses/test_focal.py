import math

import pytest
import torch
import torch.nn.functional as F

from headtail.losses import CrossEntropyLoss, FocalLoss, focal_values

WEIGHT = [0.5, 3.0, 0.0, 20.0]
GAMMAS = [0.0, 0.3, 1.0, 2.0, 5.0]


def batch(seed=0, n_samples=7, n_classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n_samples, n_classes, generator=generator).double()
    return logits, torch.randint(n_classes, (n_samples,), generator=generator)


def by_loops(logits, labels, gamma, weight):
    total = mass = 0.0
    for row, y in zip(logits.tolist(), labels.tolist(), strict=True):
        odds = [math.exp(z) for z in row]
        others = math.fsum(odd for c, odd in enumerate(odds) if c != y)
        wrong = others / sum(odds)
        total -= weight[y] * wrong**gamma * math.log(odds[y] / sum(odds))
        mass += weight[y]
    return torch.tensor(total / mass, dtype=torch.float64)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_value_matches_loops(gamma):
    logits, labels = batch()
    got = FocalLoss(gamma=gamma, weight=WEIGHT)(logits, labels)
    torch.testing.assert_close(got, by_loops(logits, labels, gamma, WEIGHT))
    got = FocalLoss(gamma=gamma)(logits, labels)
    torch.testing.assert_close(got, by_loops(logits, labels, gamma, [1.0] * 4))


def test_gamma_is_two_by_default():
    logits, labels = batch()
    assert FocalLoss().gamma == 2.0
    torch.testing.assert_close(
        FocalLoss()(logits, labels), by_loops(logits, labels, 2.0, [1.0] * 4)
    )


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_gamma_zero_is_cross_entropy(weight):
    logits, labels = batch()
    # The last likelihood is 0 to all digits, its gradient is not.
    certain = torch.tensor([[40.0, 0.0, 0.0, 0.0]])
    logits = torch.cat([logits, 1e4 * logits, certain])
    labels = torch.cat([labels, labels, torch.tensor([0])])
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    focal = FocalLoss(gamma=0.0, weight=weight)(ours, labels)
    plain = CrossEntropyLoss(weight=weight)(theirs, labels)
    assert torch.equal(focal, plain)
    focal.backward()
    plain.backward()
    assert torch.equal(ours.grad, theirs.grad)
    assert (ours.grad[-1] != 0).any()


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradient(gamma):
    logits, labels = batch()
    loss = FocalLoss(gamma=gamma, weight=WEIGHT)
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), labels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0])
def test_gradient_vanishes_where_the_probability_is_one(gamma, dtype):
    logits = torch.tensor([[1e4, -1e4], [30.0, 0.0], [0.0, 0.0]], dtype=dtype)
    logits.requires_grad_()
    FocalLoss(gamma=gamma)(logits, torch.tensor([0, 0, 0])).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0].abs().max() == 0
    assert logits.grad[1].abs().max() < 2 * math.exp(-30) ** (1 + gamma)
    assert logits.grad[2, 0] < -1e-2


def test_slope_of_the_loss_near_certainty():
    """The slope in the likelihood l is (1 + gamma)·l^gamma for small l."""
    gamma, gap = 0.5, 12.0
    logits = torch.tensor([[gap, 0.0]], dtype=torch.float64, requires_grad=True)
    focal_values(logits, torch.tensor([0]), gamma=gamma).sum().backward()
    small = math.exp(-gap)
    expected = (1 + gamma) * small**gamma * small
    assert logits.grad[0, 1].item() == pytest.approx(expected, rel=1e-4)


def test_a_wrong_example_counts_as_in_cross_entropy():
    logits, labels = torch.tensor([[-50.0, 0.0]]), torch.tensor([0])
    torch.testing.assert_close(
        focal_values(logits, labels, gamma=2.0),
        F.cross_entropy(logits, labels, reduction="none"),
    )


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
def test_bad_gamma_is_refused(gamma):
    with pytest.raises(ValueError, match=rf"gamma must be .* \[0, inf\); got {gamma}"):
        FocalLoss(gamma=gamma)


def test_width_is_checked_where_it_is_known():
    loss = FocalLoss(weight=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"one column per class \(3\); got 4"):
        loss(*batch())
