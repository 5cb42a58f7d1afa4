import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.losses import LiftedStructureLoss

SEEDS = st.integers(0, 2**31)


def batch(labels, seed=0, n_features=3):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(labels)
    features = torch.randn(len(labels), n_features, generator=generator)
    return features.double(), labels


def by_loops(features, labels, margin):
    rows, labels = features.tolist(), labels.tolist()
    terms = []
    for i, j in itertools.combinations(range(len(rows)), 2):
        if labels[i] != labels[j]:
            continue
        near = 0.0
        for one in (i, j):
            for k, row in enumerate(rows):
                if labels[k] != labels[i]:
                    near += math.exp(margin) / math.exp(math.dist(rows[one], row))
        pull = math.dist(rows[i], rows[j])
        terms.append(max(0.0, math.log(near) + pull) ** 2 / 2 if near else 0.0)
    mean = sum(terms) / len(terms) if terms else 0.0
    return torch.tensor(mean, dtype=torch.float64)


@given(st.lists(st.sampled_from([0, 0, 1, 4]), min_size=1, max_size=9), SEEDS)
def test_value_matches_loops(labels, seed):
    features, labels = batch(labels, seed)
    for margin in (0.0, 1.0, 2.5):
        got = LiftedStructureLoss(margin=margin)(features, labels)
        torch.testing.assert_close(got, by_loops(features, labels, margin))


def test_margin_is_one_by_default():
    features, labels = batch([0, 0, 1, 1, 1])
    loss = LiftedStructureLoss()
    assert loss.margin == 1.0
    torch.testing.assert_close(loss(features, labels), by_loops(features, labels, 1.0))


def test_pairs_that_are_far_from_all_others_add_nothing_but_count():
    features = torch.tensor([[0.0], [0.1], [50.0], [52.0], [51.0]]).double()
    labels = torch.tensor([0, 0, 1, 1, 2])
    got = LiftedStructureLoss()(features, labels)
    # One pair of two is far enough; the other has the negative between it.
    term = (2 + math.log(2 * math.exp(1 - 1))) ** 2 / 2
    torch.testing.assert_close(got.item(), term / 2)


def test_gradient():
    features, labels = batch([0, 0, 1, 1, 1, 2])
    loss = LiftedStructureLoss()
    assert torch.autograd.gradcheck(loss, (features.requires_grad_(), labels))


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0, 0, 0]])
def test_without_pairs_or_negatives_it_is_zero_and_connected(labels):
    features, labels = batch(labels)
    features.requires_grad_()
    loss = LiftedStructureLoss()(features, labels)
    assert loss.item() == 0.0
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        loss.backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_have_finite_gradients(dtype):
    features = torch.ones(4, 2, dtype=dtype, requires_grad=True)
    loss = LiftedStructureLoss()(features, torch.tensor([0, 0, 1, 1]))
    expected = (1 + math.log(4)) ** 2 / 2
    torch.testing.assert_close(loss.detach(), torch.tensor(expected, dtype=dtype))
    loss.backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_huge_distances_have_finite_values_and_gradients():
    features = torch.tensor([[0.0], [1e4], [5e3]], requires_grad=True)
    loss = LiftedStructureLoss()(features, torch.tensor([0, 0, 1]))
    expected = (1e4 + math.log(2) + 1 - 5e3) ** 2 / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert features.grad.isfinite().all()
    assert features.grad.abs().max() > 1


@given(SEEDS)
def test_order_of_the_batch_changes_nothing(seed):
    features, labels = batch([0, 0, 0, 1, 1, 2], seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    names = torch.tensor([70, 5, 11])  # labels need not be positions here
    loss = LiftedStructureLoss()
    torch.testing.assert_close(
        loss(features[order], names[labels[order]]), loss(features, labels)
    )


@pytest.mark.parametrize("margin", [-1.0, float("nan"), float("inf")])
def test_bad_margin_is_refused(margin):
    message = rf"margin must be .* \[0, inf\); got {margin}"
    with pytest.raises(ValueError, match=message):
        LiftedStructureLoss(margin=margin)
