"""The formulas of count-aware transfer, against NumPy loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.methods.transfer._mixture import (
    Mixture,
    count_factor,
    log_prior,
    mixed_weight,
    mixture_of,
    whitened_directions,
)

PLAIN = Mixture("composed", 0.0, 0.0, 0.0, 20.0, 0, 10.0)


def length_one(vector):
    norm = math.sqrt(sum(x * x for x in vector))
    return vector / norm if norm else vector


def reference_weight(prototypes, weight, counts, trained, donors, mixture):
    """One class at a time, one donor at a time."""
    rows = []
    for p, w, n, known in zip(prototypes, weight, counts, trained, strict=True):
        p, w = length_one(p), length_one(w)
        given = [
            length_one(v) for v, gives in zip(weight, donors, strict=True) if gives
        ]
        heats = [math.exp(mixture.temperature * float(p @ v)) for v in given]
        pairs = zip(heats, given, strict=True)
        received = length_one(sum(heat / sum(heats) * v for heat, v in pairs))
        if not known:
            rows.append(received + p)
            continue
        share = mixture.half_count / (mixture.half_count + n)
        a, b = share * mixture.transfer, share * mixture.prototype
        rows.append(a * received + b * p + w)
    return np.array(rows)


@st.composite
def problems(draw):
    """Prototypes, weights, counts, who is trained, who gives, and a mixture."""
    n_classes, n_features = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    shape = (2, n_classes, n_features)
    prototypes, weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    counts = torch.randint(1, 500, (n_classes,), generator=generator)
    trained = torch.rand(n_classes, generator=generator) < 0.7
    trained[0] = True
    donors = trained & (torch.rand(n_classes, generator=generator) < 0.6)
    donors[0] = True
    mixture = Mixture(
        "composed",
        0.0,
        draw(st.floats(0, 2)),
        draw(st.floats(0, 2)),
        draw(st.floats(1, 100)),
        0,
        draw(st.floats(0, 30)),
    )
    return prototypes, weight, counts, trained, donors, mixture


@given(problems())
def test_the_composed_weight_is_that_of_loops(problem):
    ours = mixed_weight(*problem)
    arrays = [part.numpy() for part in problem[:5]]
    expected = reference_weight(*arrays, problem[5])
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9, atol=1e-9)


@given(problems(), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_only_directions_matter(problem, one, other):
    prototypes, weight, *rest = problem
    torch.testing.assert_close(
        mixed_weight(one * prototypes, other * weight, *rest), mixed_weight(*problem)
    )


@given(problems(), st.randoms(use_true_random=False))
def test_is_equivariant_to_the_order_of_classes(problem, random):
    *parts, mixture = problem
    order = list(range(len(parts[0])))
    random.shuffle(order)
    moved = mixed_weight(*(part[order] for part in parts), mixture)
    torch.testing.assert_close(moved, mixed_weight(*problem)[order])


@given(problems())
def test_what_is_received_may_be_known_already(problem):
    prototypes, weight, counts, trained, donors, mixture = problem
    received = prototypes.roll(1, dims=1) - 2
    nobody = torch.zeros_like(donors)
    ours = mixed_weight(prototypes, weight, counts, trained, nobody, mixture, received)
    share = mixture.half_count / (mixture.half_count + counts.double())
    received, p, w = (
        torch.nn.functional.normalize(part) for part in (received, prototypes, weight)
    )
    mixed = w + share[:, None] * (mixture.transfer * received + mixture.prototype * p)
    expected = torch.where(trained[:, None], mixed, received + p)
    torch.testing.assert_close(ours, expected)


def test_without_transfer_and_prototype_the_direction_is_left():
    weight = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    yes = torch.tensor([True, True])
    ours = mixed_weight(torch.eye(2), weight, torch.tensor([1, 9]), yes, yes, PLAIN)
    torch.testing.assert_close(ours, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))


def test_the_more_examples_the_less_is_borrowed():
    mixture = PLAIN._replace(transfer=1.0, prototype=1.0)
    weight, yes = torch.eye(2), torch.tensor([True, True])
    apart = [
        (
            mixed_weight(weight.flip(0), weight, counts, yes, yes, mixture) - weight
        ).norm()
        for counts in torch.tensor([[1, 1], [20, 20], [500, 500], [10**9, 10**9]])
    ]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 1e-6


def test_rows_of_classes_that_are_not_trained_are_not_read():
    weight = torch.tensor([[0.0, 1.0], [float("nan"), float("inf")]])
    trained, counts = torch.tensor([True, False]), torch.tensor([30, 1])
    ours = mixed_weight(torch.eye(2), weight, counts, trained, trained, PLAIN)
    torch.testing.assert_close(ours, torch.tensor([[0.0, 1.0], [0.0, 2.0]]))


def test_the_precision_is_that_of_the_weights():
    one = torch.tensor([True])
    for dtype in (torch.float32, torch.float64):
        weight = torch.ones(1, 3, dtype=dtype)
        mixed = mixed_weight(weight, weight, torch.tensor([4]), one, one, PLAIN)
        assert mixed.dtype == dtype


@given(st.integers(0, 10**9), st.floats(0.5, 1e6))
def test_the_factor_is_a_sigmoid_in_log_n(n, half_count):
    ours = count_factor(torch.tensor([n]), half_count).item()
    expected = 1.0 if n == 0 else 1 / (1 + math.exp(math.log(n) - math.log(half_count)))
    assert ours == pytest.approx(expected, rel=1e-9)


def test_end_points_of_the_factor():
    ours = count_factor(torch.tensor([0, 7, 7 * 10**9]), 7.0)
    torch.testing.assert_close(ours[:2], torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert 0 < ours[2] < 1e-8


def test_the_log_prior_is_that_of_shares():
    ours = log_prior(torch.tensor([6, 1, 1]))
    expected = torch.tensor([0.75, 0.125, 0.125], dtype=torch.float64)
    torch.testing.assert_close(ours.exp(), expected)


def test_a_mixture_is_built_from_its_fields_by_name():
    assert mixture_of(PLAIN._asdict()) == PLAIN
    assert mixture_of(PLAIN._replace(prior=-1, half_count=1)._asdict()).prior == -1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": "all"}, r"needs \['members'\] .* got \['all'\]"),
        ({"members": None}, r"needs \['members'\]"),
        ({"prior": "x"}, r"needs \['prior'\]"),
        ({"prior": math.nan}, r"needs \['prior'\]"),
        ({"transfer": -0.1}, r"needs \['transfer'\] .* got \[-0.1\]"),
        ({"prototype": math.inf}, r"needs \['prototype'\]"),
        ({"half_count": 0.0}, r"needs \['half_count'\]"),
        ({"half_count": -5.0}, r"needs \['half_count'\]"),
        ({"donors": 20.0}, r"needs \['donors'\]"),
        ({"donors": True}, r"needs \['donors'\]"),
        ({"donors": -1}, r"needs \['donors'\]"),
        ({"temperature": None}, r"needs \['temperature'\]"),
        ({"noise": -0.5}, r"needs \['noise'\]"),
        ({"depth": 3}, r"has the fields .* got .*'depth'"),
    ],
)
def test_what_is_no_mixture_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        mixture_of({**PLAIN._asdict(), **changes})


@pytest.mark.parametrize("field", Mixture._fields)
def test_every_field_of_a_mixture_is_needed(field):
    items = PLAIN._asdict()
    del items[field]
    with pytest.raises(ValueError, match="a mixture has the fields"):
        mixture_of(items)


@pytest.fixture
def space():
    """Five rows, a map and a centre."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(5, 3), (3, 3), (3,)]
    return [torch.randn(size, generator=generator).double() for size in sizes]


def test_whitened_directions_are_those_of_loops(space):
    features, map, center = (part.numpy() for part in space)
    expected = [length_one((length_one(x) - center) @ map) for x in features]
    ours = whitened_directions(*space)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-12)


def test_whitened_directions_do_not_mind_the_length_of_a_row(space):
    features, map, center = space
    # Powers of two: nothing is rounded.
    lengths = torch.tensor([[1.0], [2.0], [0.25], [2.0**40], [2.0**-40]]).double()
    longer = whitened_directions(lengths * features, map, center)
    assert longer.equal(whitened_directions(features, map, center))


def test_what_lies_at_the_centre_has_no_direction():
    features = torch.tensor([[5.0, 0.0], [0.0, 0.0]])
    center = torch.tensor([1.0, 0.0])
    ours = whitened_directions(features, torch.eye(2), center)
    torch.testing.assert_close(ours, torch.tensor([[0.0, 0.0], [-1.0, 0.0]]))
