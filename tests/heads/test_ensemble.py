import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headtail.heads import CosineHead, EnsembleHead, LinearHead

SEEDS = st.integers(0, 2**31)


def problem(seed, n_members, n_classes=4, n_features=3):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    members = [
        CosineHead(normal(n_classes, n_features), 5.0)
        if i % 2
        else LinearHead(normal(n_classes, n_features), normal(n_classes))
        for i in range(n_members)
    ]
    return members, normal(6, n_features)


def by_loops(members, X):
    """Average softmax probabilities, one member and sample after the other."""
    total = [[0.0] * members[0].n_classes for _ in X]
    for member in members:
        for i, row in enumerate(member(X).tolist()):
            powers = [math.exp(z) for z in row]
            for c, power in enumerate(powers):
                total[i][c] += power / sum(powers) / len(members)
    return torch.tensor(total, dtype=torch.float64)


@given(SEEDS, st.integers(1, 5), st.integers(1, 5))
def test_probabilities_are_the_mean_of_the_members(seed, n_members, n_classes):
    members, X = problem(seed, n_members, n_classes)
    proba = EnsembleHead(members)(X).exp().detach()
    torch.testing.assert_close(proba, by_loops(members, X))
    torch.testing.assert_close(proba.sum(dim=1), torch.ones(6).double())


@given(SEEDS)
def test_one_member_keeps_its_probabilities(seed):
    members, X = problem(seed, 1)
    expected = members[0](X).softmax(dim=1)
    torch.testing.assert_close(EnsembleHead(members)(X).softmax(dim=1), expected)


@given(SEEDS, st.permutations(range(4)))
def test_order_of_members_changes_nothing(seed, order):
    members, X = problem(seed, 4)
    permuted = EnsembleHead([members[i] for i in order])
    torch.testing.assert_close(permuted(X), EnsembleHead(members)(X))


@given(SEEDS, st.integers(1, 4))
def test_copies_of_one_member_are_that_member(seed, n_copies):
    members, X = problem(seed, 1)
    ensemble = EnsembleHead(members * n_copies)
    torch.testing.assert_close(ensemble(X), EnsembleHead(members)(X))


def test_ensembles_nest():
    members, X = problem(0, 4)
    halves = [EnsembleHead(members[:2]), EnsembleHead(members[2:])]
    torch.testing.assert_close(EnsembleHead(halves)(X), EnsembleHead(members)(X))


def test_probabilities_too_small_for_a_float_keep_their_logarithm():
    member = LinearHead(torch.tensor([[0.0], [-1000.0]]))
    logits = EnsembleHead([member, member])(torch.tensor([[1.0]]))
    torch.testing.assert_close(logits, torch.tensor([[0.0, -1000.0]]))


def test_a_certain_member_does_not_outvote_the_others():
    certain = LinearHead(torch.tensor([[1e4], [0.0]]))
    unsure = LinearHead(torch.tensor([[0.0], [math.log(3)]]))
    proba = EnsembleHead([certain, unsure])(torch.tensor([[1.0]])).exp()
    torch.testing.assert_close(proba, torch.tensor([[0.625, 0.375]]))


def test_changing_the_members_changes_nothing():
    members, X = problem(0, 3)
    ensemble = EnsembleHead(members)
    before = ensemble(X)
    with torch.no_grad():
        for member in members:
            member.weight += 5
    assert torch.equal(ensemble(X), before)


def test_training_the_ensemble_changes_no_member():
    members, X = problem(0, 2)
    before = [member.weight.clone() for member in members]
    ensemble = EnsembleHead(members)
    ensemble(X)[:, 0].sum().backward()
    torch.optim.SGD(ensemble.parameters(), lr=1.0).step()
    for member, copied, weight in zip(members, ensemble.members, before, strict=True):
        assert torch.equal(member.weight, weight)
        assert not torch.equal(copied.weight, weight)


def test_ensemble_knows_its_sizes_and_classes():
    members, _ = problem(0, 2)
    ensemble = EnsembleHead(members, classes=[3, 1, 2, 0])
    assert (ensemble.n_classes, ensemble.n_features) == (4, 3)
    assert ensemble.classes.tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], r"at least one head .*got \[\]"),
        ([LinearHead(torch.eye(2)), nn.Linear(2, 2)], r"\['LinearHead', 'Linear'\]"),
    ],
)
def test_members_that_are_no_heads_are_refused(members, message, monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(TypeError, match=message):
        EnsembleHead(members)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_members_of_other_sizes_are_refused(shape):
    members = [LinearHead(torch.ones(2, 2)), LinearHead(torch.ones(shape))]
    expected = rf"got \[\(2, 2\), \({shape[0]}, {shape[1]}\)\]"
    with pytest.raises(ValueError, match=expected):
        EnsembleHead(members)


def test_classes_that_do_not_name_the_rows_are_refused():
    with pytest.raises(ValueError, match=r"distinct; \[1\] come twice"):
        EnsembleHead([LinearHead(torch.eye(2))], classes=[1, 1])
