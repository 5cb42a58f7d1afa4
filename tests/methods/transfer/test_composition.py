"""The formulas of compositional transfer against plain loops, and their identities."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail import attend, compose, transfer
from headtail.methods.transfer import _composition

DIRECTIONS = [
    "prototype-to-weight",
    "weight-to-prototype",
    "weight-to-weight",
    "prototype-to-prototype",
]


def direction(vector):
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def slow_compose(prototypes, weight, donors, trained, temperature, attention):
    """Equations 4 to 7 and 9, one number at a time."""
    asks_p, gives_p = (role == "prototype" for role in attention.split("-to-"))
    rows = []
    for i in range(len(prototypes)):
        p = direction(prototypes[i])
        asking = p if asks_p or not trained[i] else direction(weight[i])
        shares, given_vectors = [], []
        for j in range(len(prototypes)):
            if not donors[j]:
                continue
            gift = direction(prototypes[j] if gives_p else weight[j])
            cosine = sum(a * b for a, b in zip(asking, gift, strict=True))
            shares.append(math.exp(temperature * cosine))
            given_vectors.append(gift)
        total = sum(shares)
        kt = [
            sum(s / total * g[f] for s, g in zip(shares, given_vectors, strict=True))
            for f in range(len(p))
        ]
        own = direction(weight[i]) if trained[i] else [0.0] * len(p)
        rows.append([k + a + b for k, a, b in zip(direction(kt), p, own, strict=True)])
    return torch.tensor(rows, dtype=torch.float64)


@st.composite
def problems(draw):
    n_classes, n_features = draw(st.integers(2, 6)), draw(st.integers(2, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    prototypes, weight = torch.randn(
        2, n_classes, n_features, generator=generator, dtype=torch.float64
    )
    trained = torch.rand(n_classes, generator=generator) < 0.7
    trained[0] = True
    donors = trained & (torch.rand(n_classes, generator=generator) < 0.7)
    donors[0] = True
    return prototypes, weight, donors, trained


@given(problems(), st.floats(0, 20), st.sampled_from(DIRECTIONS))
def test_compose_matches_the_equations(problem, temperature, attention):
    prototypes, weight, donors, trained = problem
    ours = compose(
        prototypes,
        weight,
        donors,
        trained=trained,
        temperature=temperature,
        attention=attention,
    )
    lists = (x.tolist() for x in problem)
    expected = slow_compose(*lists, temperature, attention)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@given(problems())
def test_parts_can_be_left_out(problem):
    prototypes, weight, donors, _ = problem
    whole = compose(prototypes, weight, donors)
    bare = compose(
        prototypes, weight, donors, include_weight=False, include_prototype=False
    )
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(bare.norm(dim=1), torch.ones(len(bare)).double())
    torch.testing.assert_close(whole - bare, unit(prototypes) + unit(weight))
    without = compose(prototypes, weight, donors, include_weight=False)
    torch.testing.assert_close(without - bare, unit(prototypes))


@given(problems())
def test_a_large_temperature_gives_the_nearest_donor(problem):
    prototypes, weight, donors, _ = problem
    given_rows = torch.nn.functional.normalize(weight[donors])
    cosines = torch.nn.functional.normalize(prototypes) @ given_rows.T
    received = transfer(prototypes, weight[donors], weight[donors], temperature=1e9)
    torch.testing.assert_close(received, given_rows[cosines.argmax(dim=1)])


@given(problems())
def test_temperature_zero_gives_the_mean_of_the_donors(problem):
    prototypes, weight, donors, _ = problem
    received = transfer(prototypes, weight[donors], weight[donors], temperature=0.0)
    mean = torch.nn.functional.normalize(weight[donors]).mean(dim=0)
    torch.testing.assert_close(received, mean.expand_as(received))


@given(problems())
def test_one_donor_gives_itself(problem):
    prototypes, weight, _, _ = problem
    received = transfer(prototypes, weight[:1], 3 * weight[:1])
    expected = torch.nn.functional.normalize(weight[:1]).expand_as(received)
    torch.testing.assert_close(received, expected)


@given(problems(), st.randoms(use_true_random=False))
def test_is_equivariant_to_the_order_of_classes(problem, random):
    prototypes, weight, donors, trained = problem
    order = list(range(len(weight)))
    random.shuffle(order)
    torch.testing.assert_close(
        compose(
            prototypes[order], weight[order], donors[order], trained=trained[order]
        ),
        compose(prototypes, weight, donors, trained=trained)[order],
    )


@given(problems(), st.floats(1e-6, 1e6))
def test_lengths_change_nothing(problem, factor):
    prototypes, weight, donors, _ = problem
    torch.testing.assert_close(
        compose(factor * prototypes, weight / factor, donors),
        compose(prototypes, weight, donors),
    )


@given(problems())
def test_shares_sum_to_one_and_follow_the_cosine(problem):
    prototypes, weight, _, _ = problem
    shares = attend(prototypes, weight, temperature=3.0)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(len(shares)).double())
    cosines = torch.nn.functional.cosine_similarity(
        prototypes[:, None], weight[None], dim=2
    )
    assert shares.argsort(dim=1).equal(cosines.argsort(dim=1))


def test_blocks_do_not_change_the_result(monkeypatch):
    rows, keys = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    whole = transfer(rows, keys, keys)

    def one_row_at_a_time(n_rows, row_size, budget):
        return (slice(i, i + 1) for i in range(n_rows))

    monkeypatch.setattr(_composition, "row_blocks", one_row_at_a_time)
    torch.testing.assert_close(transfer(rows, keys, keys), whole)


def test_an_untrained_row_is_never_read():
    prototypes, weight = torch.eye(3), torch.eye(3)
    trained = torch.tensor([True, True, False])
    donors = torch.tensor([True, False, False])
    noisy = weight.clone()
    noisy[2] = torch.tensor([9.0, -9.0, 9.0])
    for attention in DIRECTIONS:
        torch.testing.assert_close(
            compose(prototypes, noisy, donors, trained=trained, attention=attention),
            compose(prototypes, weight, donors, trained=trained, attention=attention),
        )


def test_refuses_no_donor_and_an_untrained_donor():
    rows, none = torch.eye(2), torch.zeros(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="at least one class"):
        compose(rows, rows, none)
    with pytest.raises(ValueError, match="must be trained classes"):
        compose(rows, rows, ~none, trained=none)


def test_keeps_dtype_and_arguments():
    prototypes = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    weight = prototypes.flip(0).clone()
    before = prototypes.clone(), weight.clone()
    out = compose(prototypes.double(), weight, torch.ones(4, dtype=torch.bool))
    assert out.dtype == torch.float32
    assert prototypes.equal(before[0])
    assert weight.equal(before[1])
    assert np.isfinite(out.numpy()).all()
