import copy

import pytest
import torch

from headtail.export import StackedHead, collapse
from headtail.heads import EnsembleHead, LinearHead
from tests.export.heads import N_FEATURES, OTHERS, STACKED, Drawn, make

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def features(dtype, n_samples=9):
    generator = torch.Generator().manual_seed(1)
    drawn = 3 * torch.randn(n_samples, N_FEATURES, generator=generator, dtype=dtype)
    drawn[-1] = 0
    return drawn


@torch.no_grad()
def check_same(head, module, dtype):
    expected, found = head(features(dtype)), module(features(dtype))
    assert found.dtype == expected.dtype == dtype
    largest = expected.abs().max()
    torch.testing.assert_close(
        found / largest, expected / largest, rtol=0, atol=TOLERANCE[dtype]
    )


@DTYPES
@pytest.mark.parametrize("name", STACKED)
def test_a_head_that_is_linear_in_its_features_becomes_one_product(name, dtype):
    head = make(name, dtype)
    stacked = collapse(head)
    assert type(stacked) is StackedHead
    assert (stacked.n_classes, stacked.n_features) == (5, N_FEATURES)
    check_same(head, stacked, dtype)


@DTYPES
@pytest.mark.parametrize("name", OTHERS)
def test_another_head_keeps_its_output(name, dtype):
    head = make(name, dtype)
    collapsed = collapse(head)
    assert type(collapsed) is not StackedHead
    check_same(head, collapsed, dtype)


def test_members_are_stacked_one_after_the_other():
    first, second = LinearHead(torch.eye(2)), LinearHead(torch.full((2, 2), 5.0))
    stacked = collapse(EnsembleHead([first, second]))
    assert stacked.weight.tolist() == [[1, 0], [0, 1], [5, 5], [5, 5]]
    # As many members as classes: only their order tells them apart.
    proba = stacked(torch.tensor([[4.0, 0.0]])).exp()
    expected = (torch.tensor([[4.0, 0.0]]).softmax(dim=1) + 0.5) / 2
    torch.testing.assert_close(proba, expected)


def test_members_of_an_inner_ensemble_share_its_vote():
    certain = [LinearHead(100 * torch.eye(2)[[i, 1 - i]]) for i in (0, 0, 1)]
    head = EnsembleHead([EnsembleHead(certain[:2]), certain[2]])
    proba = collapse(head)(torch.tensor([[1.0, 0.0]])).exp()
    torch.testing.assert_close(proba, torch.tensor([[0.5, 0.5]]))


def test_members_whose_maps_differ_are_not_stacked():
    drawn = Drawn(torch.float32)
    same = drawn.whitened(drawn.cosine())
    other = copy.deepcopy(same)
    assert type(collapse(EnsembleHead([same, other]))) is StackedHead
    other.map[0, 0] += 1
    head = EnsembleHead([same, other])
    assert type(collapse(head)) is not StackedHead
    check_same(head, collapse(head), torch.float32)


def test_members_of_two_precisions_are_not_stacked():
    head = EnsembleHead([make("linear"), make("linear", torch.float64)])
    assert type(collapse(head)) is not StackedHead


def test_what_is_certain_stays_finite():
    head = EnsembleHead(
        [LinearHead(1e4 * torch.eye(2)), LinearHead(2e4 * torch.eye(2))]
    )
    found = collapse(head)(torch.tensor([[1.0, 0.0]]))
    # Half of exp(-10000), and all of the first class.
    expected = torch.tensor([[0.0, -1e4]])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_the_head_is_left_as_it_is():
    head = make("ensemble with disalign")
    before = {name: value.clone() for name, value in head.state_dict().items()}
    collapsed = collapse(head)
    for value in collapsed.state_dict().values():
        value.data.add_(1)
    assert all(value.equal(before[name]) for name, value in head.state_dict().items())


def test_features_of_another_precision_are_taken():
    stacked = collapse(make("whitened ensemble"))
    assert stacked(features(torch.float64)).dtype == torch.float32


def test_weights_are_copied():
    weights, biases = torch.zeros(1, 3, 4), torch.zeros(1, 3)
    head = StackedHead(weights, biases)
    weights += 1
    biases += 1
    assert head(torch.ones(1, 4)).tolist() == [[0, 0, 0]]


def test_several_members_need_shares():
    with pytest.raises(ValueError, match=r"shares must be given .* got 2 members"):
        StackedHead(torch.zeros(2, 3, 4))
