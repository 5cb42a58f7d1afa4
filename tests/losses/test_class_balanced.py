import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.losses import (
    ClassBalancedLoss,
    CrossEntropyLoss,
    FocalLoss,
    effective_number_weights,
    inverse_frequency_weights,
)

COUNTS = [1000, 40, 7, 1]
MANY_COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=6)


def batch(seed=0, n_samples=9, n_classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_samples, n_classes, generator=generator).double()
    return logits, torch.randint(n_classes, (n_samples,), generator=generator)


def weights_by_series(counts, beta):
    """1 / (1 + β + … + β^(n-1)), which is (1-β) / (1-β^n)."""
    weights = [1 / math.fsum(beta**power for power in range(n)) for n in counts]
    return [w * len(counts) / math.fsum(weights) for w in weights]


@given(MANY_COUNTS, st.sampled_from([0.0, 1e-9, 0.25, 0.5, 0.984375, 0.9999]))
def test_weights_match_the_series(counts, beta):
    weights = effective_number_weights(counts, beta=beta)
    assert weights.dtype == torch.float64
    expected = weights_by_series(counts, beta)
    assert weights.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [1 - 1e-9, 1 - 2.0**-50, 1 - 2.0**-53])
def test_weights_keep_their_digits_near_beta_one(beta):
    weights = effective_number_weights(COUNTS, beta=beta).tolist()
    # 1 + β + … + β^(n-1) to second order in 1 - β
    rest = 1 - beta
    numbers = [n - rest * n * (n - 1) / 2 for n in COUNTS]
    total = sum(1 / number for number in numbers)
    expected = [4 / (number * total) for number in numbers]
    assert weights == pytest.approx(expected, rel=1e-12)


def test_beta_near_one_is_inverse_frequency():
    torch.testing.assert_close(
        effective_number_weights(COUNTS, beta=1 - 2.0**-53),
        inverse_frequency_weights(COUNTS),
    )


def test_beta_is_0_9999_by_default():
    expected = weights_by_series(COUNTS, 0.9999)
    assert effective_number_weights(COUNTS).tolist() == pytest.approx(expected)
    assert ClassBalancedLoss(COUNTS).weight.tolist() == pytest.approx(expected)


def test_beta_zero_gives_ones():
    assert effective_number_weights(COUNTS, beta=0.0).tolist() == [1.0] * 4


def by_loops(logits, labels, weights, gamma):
    total = mass = 0.0
    for row, y in zip(logits.tolist(), labels.tolist(), strict=True):
        p = math.exp(row[y]) / math.fsum(map(math.exp, row))
        total -= weights[y] * (1 - p) ** gamma * math.log(p)
        mass += weights[y]
    return torch.tensor(total / mass, dtype=torch.float64)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_value_matches_loops(beta, gamma):
    logits, labels = batch()
    got = ClassBalancedLoss(COUNTS, beta=beta, gamma=gamma)(logits, labels)
    weights = weights_by_series(COUNTS, beta)
    torch.testing.assert_close(got, by_loops(logits, labels, weights, gamma))


@pytest.mark.parametrize("beta", [0.0, 1e-12])
def test_beta_to_zero_is_cross_entropy(beta):
    logits, labels = batch()
    torch.testing.assert_close(
        ClassBalancedLoss(COUNTS, beta=beta)(logits, labels),
        CrossEntropyLoss()(logits, labels),
    )


def test_gamma_makes_it_the_focal_loss_with_these_weights():
    logits, labels = batch()
    focal = FocalLoss(gamma=2.0, weight=effective_number_weights(COUNTS))
    torch.testing.assert_close(
        ClassBalancedLoss(COUNTS, gamma=2.0)(logits, labels), focal(logits, labels)
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradient(gamma):
    logits, labels = batch()
    loss = ClassBalancedLoss(COUNTS, gamma=gamma)
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), labels))


def test_what_was_given_stays_readable():
    loss = ClassBalancedLoss(COUNTS, beta=0.5, gamma=1.0)
    assert (loss.beta, loss.gamma) == (0.5, 1.0)


@pytest.mark.parametrize("beta", [-0.1, 1.0, float("nan")])
def test_bad_beta_is_refused(beta):
    for make in (effective_number_weights, ClassBalancedLoss):
        with pytest.raises(ValueError, match=rf"beta must be .* \[0, 1\); got {beta}"):
            make(COUNTS, beta=beta)


def test_bad_gamma_counts_and_width_are_refused():
    with pytest.raises(ValueError, match=r"gamma must be .* \[0, inf\); got -1"):
        ClassBalancedLoss(COUNTS, gamma=-1.0)
    with pytest.raises(ValueError, match=r"classes \[1\] have no training sample"):
        ClassBalancedLoss([1, 0])
    with pytest.raises(ValueError, match=r"one column per class \(2\); got 4"):
        ClassBalancedLoss([1, 2])(*batch())
