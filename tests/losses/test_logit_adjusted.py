import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.losses import BalancedSoftmaxLoss, CrossEntropyLoss, LogitAdjustedLoss

COUNTS = [1000, 40, 7, 1]


def batch(seed=0, n_samples=9, n_classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_samples, n_classes, generator=generator).double()
    return logits, torch.randint(n_classes, (n_samples,), generator=generator)


def by_loops(logits, labels, counts, tau):
    """Bayes' rule: probabilities p(c)·π[c]^τ, normalised."""
    total = 0.0
    for row, y in zip(logits.tolist(), labels.tolist(), strict=True):
        joint = [
            math.exp(z) * (n / sum(counts)) ** tau
            for z, n in zip(row, counts, strict=True)
        ]
        total -= math.log(joint[y] / math.fsum(joint))
    return torch.tensor(total / len(labels), dtype=torch.float64)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_logit_adjusted_matches_loops(tau):
    logits, labels = batch()
    got = LogitAdjustedLoss(COUNTS, tau=tau)(logits, labels)
    torch.testing.assert_close(got, by_loops(logits, labels, COUNTS, tau))


def test_balanced_softmax_matches_loops():
    logits, labels = batch()
    got = BalancedSoftmaxLoss(COUNTS)(logits, labels)
    torch.testing.assert_close(got, by_loops(logits, labels, COUNTS, 1.0))


@given(st.lists(st.integers(1, 10_000), min_size=4, max_size=4))
def test_tau_one_is_balanced_softmax(counts):
    logits, labels = batch()
    balanced = BalancedSoftmaxLoss(counts)(logits, labels)
    loss = LogitAdjustedLoss(counts)
    assert loss.tau == 1.0
    torch.testing.assert_close(loss(logits, labels), balanced)


def test_tau_zero_and_equal_counts_are_cross_entropy():
    logits, labels = batch()
    plain = CrossEntropyLoss()(logits, labels)
    for loss in (
        LogitAdjustedLoss(COUNTS, tau=0.0),
        LogitAdjustedLoss([5] * 4, tau=3.0),
        BalancedSoftmaxLoss([5] * 4),
    ):
        torch.testing.assert_close(loss(logits, labels), plain)


def test_the_prior_is_normalised():
    prior = LogitAdjustedLoss(COUNTS).log_prior.exp()
    expected = torch.tensor([n / sum(COUNTS) for n in COUNTS], dtype=torch.float64)
    torch.testing.assert_close(prior, expected)


@pytest.mark.parametrize(
    "loss", [LogitAdjustedLoss(COUNTS, tau=0.7), BalancedSoftmaxLoss(COUNTS)]
)
def test_gradient(loss):
    logits, labels = batch()
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), labels))


@pytest.mark.parametrize("tau", [-0.5, float("nan"), float("inf")])
def test_bad_tau_is_refused(tau):
    with pytest.raises(ValueError, match=rf"tau must be .* \[0, inf\); got {tau}"):
        LogitAdjustedLoss(COUNTS, tau=tau)


@pytest.mark.parametrize("make", [LogitAdjustedLoss, BalancedSoftmaxLoss])
def test_bad_counts_and_width_are_refused(make):
    with pytest.raises(ValueError, match=r"classes \[1\] have no training sample"):
        make([1, 0])
    with pytest.raises(ValueError, match=r"one column per class \(2\); got 4"):
        make([1, 2])(*batch())
