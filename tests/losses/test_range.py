import itertools
import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.losses import RangeLoss

SEEDS = st.integers(0, 2**31)


def batch(labels, seed=0, n_features=3):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(labels)
    features = torch.randn(len(labels), n_features, generator=generator)
    return features.double(), labels


def by_loops(features, labels, *, k=2, margin=1.0, intra=0.5, inter=0.5):
    groups = {}
    for row, y in zip(features.tolist(), labels.tolist(), strict=True):
        groups.setdefault(y, []).append(row)
    loss = 0.0
    for rows in groups.values():
        pairs = [math.dist(a, b) for a, b in itertools.combinations(rows, 2)]
        if pairs:
            loss += intra * statistics.harmonic_mean(sorted(pairs)[-k:])
    centers = [[sum(c) / len(rows) for c in zip(*rows)] for rows in groups.values()]  # noqa: B905
    gaps = [math.dist(a, b) for a, b in itertools.combinations(centers, 2)]
    if gaps:
        loss += inter * max(0.0, margin - min(gaps))
    return torch.tensor(loss, dtype=torch.float64)


@given(
    st.lists(st.sampled_from([0, 0, 1, 4]), min_size=1, max_size=12),
    st.integers(1, 5),
    SEEDS,
)
def test_value_matches_loops(labels, k, seed):
    features, labels = batch(labels, seed)
    got = RangeLoss(k=k, margin=2.0)(features, labels)
    torch.testing.assert_close(got, by_loops(features, labels, k=k, margin=2.0))


def test_defaults():
    features, labels = batch([0, 0, 0, 1, 1, 1, 2])
    features = features / 4  # so that the centres are nearer than the margin
    got = RangeLoss()(features, labels)
    torch.testing.assert_close(got, by_loops(features, labels))
    assert got > by_loops(features, labels, inter=0.0)


def test_weights_of_the_terms():
    features, labels = batch([0, 0, 0, 1, 1])
    loss = RangeLoss(margin=9.0, intra_weight=2.0, inter_weight=0.25)
    expected = by_loops(features, labels, margin=9.0, intra=2.0, inter=0.25)
    torch.testing.assert_close(loss(features, labels), expected)


def test_far_centers_leave_the_ranges_alone():
    features, labels = batch([0, 0, 1, 1])
    features[2:] += 100
    got = RangeLoss()(features, labels)
    torch.testing.assert_close(got, by_loops(features, labels, inter=0.0))


@pytest.mark.parametrize("labels", [[3], [3, 3, 3]])
def test_one_class_has_no_term_between_classes(labels):
    features, labels = batch(labels)
    features.requires_grad_()
    loss = RangeLoss(margin=50.0)(features, labels)
    torch.testing.assert_close(loss.detach(), by_loops(features.detach(), labels))
    loss.backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("labels", [[0, 0, 0, 0, 1, 1, 2], [0, 1, 2], [5, 5]])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_gradient(labels, k):
    features, labels = batch(labels)
    loss = RangeLoss(k=k, margin=6.0)
    assert torch.autograd.gradcheck(loss, (features.requires_grad_(), labels))


@given(SEEDS)
def test_order_of_the_batch_changes_nothing(seed):
    features, labels = batch([0, 0, 0, 1, 1, 2], seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(6, generator=generator)
    names = torch.tensor([70, 5, 11])  # labels need not be positions here
    loss = RangeLoss(margin=4.0)
    torch.testing.assert_close(
        loss(features[order], names[labels[order]]), loss(features, labels)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_have_finite_gradients(dtype):
    rows = [[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [1.0, 1.0]]
    features = torch.tensor(rows, dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1])
    loss = RangeLoss(k=3, margin=9.0)(features, labels)
    # A distance 0 among the three makes their harmonic mean 0.
    expected = by_loops(features.detach(), labels, k=3, margin=9.0).to(dtype)
    torch.testing.assert_close(loss.detach(), expected)
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        loss.backward()
    assert features.grad.isfinite().all()
    assert loss.dtype == dtype


def test_tiny_distances_have_the_gradient_of_large_ones():
    features, labels = batch([0, 0, 0])
    gradients = []
    for factor in (1.0, 1e-15):
        leaf = (factor * features).float().requires_grad_()
        RangeLoss()(leaf, labels).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[1], gradients[0])


def test_distances_that_have_no_square_have_finite_gradients():
    features = torch.tensor([[0.0], [4e-21], [9e-21]], requires_grad=True)
    loss = RangeLoss()(features, torch.tensor([0, 0, 0]))
    with torch.autograd.set_detect_anomaly(True):
        loss.backward()
    assert features.grad.isfinite().all()
    assert features.grad[0] < 0 < features.grad[2]


def test_coinciding_centers_have_finite_gradients():
    features = torch.tensor([[-1.0], [1.0], [0.0]], requires_grad=True)
    loss = RangeLoss()(features, torch.tensor([0, 0, 1]))
    assert loss.item() == 0.5 * 2 + 0.5 * 1
    loss.backward()
    assert features.grad.flatten().tolist() == [-0.5, 0.5, 0.0]


@pytest.mark.parametrize("name", ["margin", "intra_weight", "inter_weight"])
def test_bad_numbers_are_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must be .* \[0, inf\); got -1"):
        RangeLoss(**{name: -1.0})


def test_bad_k_is_refused():
    with pytest.raises(ValueError, match=r"k must be .* \[1, inf\); got 0"):
        RangeLoss(k=0)
