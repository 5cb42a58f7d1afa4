import math

import pytest
import torch

from headtail.losses import LADELoss, LogitAdjustedLoss

COUNTS = [50, 20, 7, 3]


def batch(seed=0, n_samples=9, n_classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_samples, n_classes, generator=generator).double()
    return logits, torch.randint(n_classes, (n_samples,), generator=generator)


def by_loops(logits, labels, counts, alpha, lambda_):
    rows, labels = logits.tolist(), labels.tolist()
    n_classes, prior = len(counts), [n / sum(counts) for n in counts]
    likelihood = 0.0
    for row, y in zip(rows, labels, strict=True):
        joint = [p * math.exp(z) for p, z in zip(prior, row, strict=True)]
        likelihood -= math.log(joint[y] / sum(joint)) / len(rows)
    regulariser = 0.0
    for c in range(n_classes):
        own = [row[c] for row, y in zip(rows, labels, strict=True) if y == c]
        m = sum(own) / len(own) if own else 0.0
        # The mean odds under the prior of the test set, uniform, over that of training.
        odds = [math.exp(row[c]) * (1 / n_classes) / prior[c] for row in rows]
        r = math.log(sum(odds) / len(odds))
        regulariser -= prior[c] * (m - r - lambda_ * r**2)
    return torch.tensor(likelihood + alpha * regulariser, dtype=torch.float64)


@pytest.mark.parametrize(("alpha", "lambda_"), [(0.1, 0.01), (0.05, 0.5), (3.0, 0.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_value_matches_loops(seed, alpha, lambda_):
    logits, labels = batch(seed)
    got = LADELoss(COUNTS, alpha=alpha, lambda_=lambda_)(logits, labels)
    torch.testing.assert_close(got, by_loops(logits, labels, COUNTS, alpha, lambda_))


def test_defaults():
    logits, labels = batch()
    loss = LADELoss(COUNTS)
    assert (loss.alpha, loss.lambda_) == (0.1, 0.01)
    expected = by_loops(logits, labels, COUNTS, 0.1, 0.01)
    torch.testing.assert_close(loss(logits, labels), expected)


@pytest.mark.parametrize("labels", [[0, 0, 2, 0], [3, 3, 3, 3]])
def test_absent_classes_are_part_of_the_regulariser(labels):
    logits, _ = batch(n_samples=4)
    labels = torch.tensor(labels)
    got = LADELoss(COUNTS, alpha=1.0, lambda_=0.3)(logits, labels)
    torch.testing.assert_close(got, by_loops(logits, labels, COUNTS, 1.0, 0.3))


def test_alpha_zero_is_the_logit_adjusted_loss():
    logits, labels = batch()
    torch.testing.assert_close(
        LADELoss(COUNTS, alpha=0.0)(logits, labels),
        LogitAdjustedLoss(COUNTS)(logits, labels),
    )


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 0], [1, 1, 1, 1, 1]])
def test_gradient(labels):
    logits, _ = batch(n_samples=5)
    loss = LADELoss(COUNTS, alpha=1.0, lambda_=0.3)
    assert torch.autograd.gradcheck(
        loss, (logits.requires_grad_(), torch.tensor(labels))
    )


def test_a_small_prior_keeps_its_digits_in_float32():
    counts = [10_000_000, 1]
    logits, labels = torch.tensor([[0.0, 900.0]]), torch.tensor([0])
    loss = LADELoss(counts, alpha=1.0, lambda_=1.0)
    exact = loss(logits.double(), labels)
    torch.testing.assert_close(loss(logits, labels).double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["alpha", "lambda_"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_bad_options_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .* \[0, inf\); got {value}"):
        LADELoss(COUNTS, **{name: value})


def test_bad_counts_and_width_are_refused():
    with pytest.raises(ValueError, match=r"classes \[1\] have no training sample"):
        LADELoss([1, 0])
    with pytest.raises(ValueError, match=r"one column per class \(2\); got 4"):
        LADELoss([1, 2])(*batch())
