import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from headtail.losses import CrossEntropyLoss, inverse_frequency_weights

COUNTS = st.lists(st.integers(1, 5000), min_size=1, max_size=6)


def batch(seed=0, n_samples=7, n_classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_samples, n_classes, generator=generator).double()
    return logits, torch.randint(n_classes, (n_samples,), generator=generator)


def by_loops(logits, labels, weight):
    total = mass = 0.0
    for row, y in zip(logits.tolist(), labels.tolist(), strict=True):
        odds = [math.exp(z) for z in row]
        total -= weight[y] * math.log(odds[y] / sum(odds))
        mass += weight[y]
    return torch.tensor(total / mass, dtype=torch.float64)


@pytest.mark.parametrize("weight", [[1.0, 1.0, 1.0, 1.0], [0.0, 3.0, 0.5, 20.0]])
def test_value_matches_loops_and_torch(weight):
    logits, labels = batch()
    got = CrossEntropyLoss(weight=weight)(logits, labels)
    torch.testing.assert_close(got, by_loops(logits, labels, weight))
    tensor = torch.tensor(weight, dtype=torch.float64)
    torch.testing.assert_close(got, F.cross_entropy(logits, labels, weight=tensor))


def test_no_weight_is_the_plain_mean():
    logits, labels = batch()
    torch.testing.assert_close(
        CrossEntropyLoss()(logits, labels), by_loops(logits, labels, [1.0] * 4)
    )
    assert CrossEntropyLoss().state_dict() == {}


def test_gradient():
    logits, labels = batch()
    loss = CrossEntropyLoss(weight=[0.0, 3.0, 0.5, 20.0])
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), labels))


@given(COUNTS)
def test_inverse_frequency_weighs_every_class_alike(counts):
    weight = inverse_frequency_weights(counts)
    assert weight.dtype == torch.float64
    assert weight.sum().item() == pytest.approx(len(counts))
    mass = [w * n for w, n in zip(weight.tolist(), counts, strict=True)]
    assert mass == pytest.approx([mass[0]] * len(counts))


def test_weight_is_refused_where_it_does_not_fit():
    with pytest.raises(ValueError, match=r"weight must .* have \[-1\.0\]"):
        CrossEntropyLoss(weight=[-1.0, 1.0])
    loss = CrossEntropyLoss(weight=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"one column per class \(3\); got 4"):
        loss(*batch())
    with pytest.raises(ValueError, match=r"class_counts must be at least 1"):
        inverse_frequency_weights([1, 0])
