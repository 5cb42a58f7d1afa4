"""Shrinkage and whitening maps of a covariance that is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import fractional_matrix_power, helmert
from sklearn.covariance import oas, shrunk_covariance

from headtail.statistics import oas_shrinkage, shrink, whitening_map

SEEDS = st.integers(0, 2**31)
SHARES = st.floats(0, 1)


def random_covariance(seed, size, scale=1.0):
    root = np.random.default_rng(seed).normal(size=(3 * size, size))
    return torch.from_numpy(scale * root.T @ root / len(root))


def random_rotation(seed, size):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return torch.from_numpy(q)


@st.composite
def covariances(draw):
    scale = 10 ** draw(st.floats(-6, 6))
    return random_covariance(draw(SEEDS), draw(st.integers(1, 6)), scale)


@given(SEEDS, st.integers(2, 30), st.integers(2, 6))
def test_shrinkage_is_that_of_scikit_learn_where_the_mean_is_known(seed, n, size):
    X = np.random.default_rng(seed).normal(size=(n, size)) ** 3
    _, expected = oas(X, assume_centered=True)
    # Its number of samples is the number of degrees of freedom: no mean is estimated.
    ours = oas_shrinkage(torch.from_numpy(X.T @ X / n), n)
    assert ours == pytest.approx(expected, rel=1e-9)


@given(SEEDS, st.lists(st.integers(1, 9), max_size=3), st.integers(2, 5))
def test_every_class_mean_takes_one_degree_of_freedom(seed, sizes, n_features):
    rng = np.random.default_rng(seed)
    covariance, contrasts = np.zeros((n_features, n_features)), []
    sizes = [3, *sizes]
    for n in sizes:
        X = rng.normal(size=(n, n_features)) * np.arange(1, n_features + 1)
        covariance += (X - X.mean(axis=0)).T @ (X - X.mean(axis=0))
        # n rows around their own mean are as good as n - 1 rows around zero.
        contrasts.append(helmert(n) @ X)
    freedom = sum(sizes) - len(sizes)
    _, expected = oas(np.concatenate(contrasts), assume_centered=True)
    ours = oas_shrinkage(torch.from_numpy(covariance / freedom), freedom)
    assert ours == pytest.approx(expected, rel=1e-9)


@given(covariances(), st.integers(1, 100), st.floats(-3, 3))
def test_the_unit_of_the_features_does_not_matter_to_the_shrinkage(
    covariance, freedom, exponent
):
    scaled = oas_shrinkage(10**exponent * covariance, freedom)
    assert scaled == pytest.approx(oas_shrinkage(covariance, freedom), rel=1e-9)


@given(covariances(), SEEDS, st.integers(1, 100))
def test_turning_the_features_does_not_change_the_shrinkage(covariance, seed, freedom):
    turn = random_rotation(seed, len(covariance))
    turned = oas_shrinkage(turn @ covariance @ turn.T, freedom)
    assert turned == pytest.approx(oas_shrinkage(covariance, freedom), abs=1e-6)


@given(covariances(), st.integers(1, 1000))
def test_more_degrees_of_freedom_never_shrink_more(covariance, freedom):
    few, many = (oas_shrinkage(covariance, n) for n in (freedom, freedom + 1))
    assert 0 < many <= few <= 1


def test_a_covariance_known_for_certain_is_hardly_shrunk():
    covariance = torch.diag(torch.tensor([4.0, 1.0]))
    assert oas_shrinkage(covariance, 10**9) < 1e-8


@pytest.mark.parametrize("freedom", [0, -1])
def test_without_degrees_of_freedom_the_covariance_counts_for_nothing(freedom):
    assert oas_shrinkage(random_covariance(0, 3), freedom) == 1.0


@pytest.mark.parametrize("covariance", [torch.eye(3), torch.zeros(2, 2), torch.eye(1)])
def test_a_covariance_that_is_alike_in_all_directions_is_its_own_target(covariance):
    assert oas_shrinkage(covariance, 50) == 1.0
    torch.testing.assert_close(shrink(covariance, 1.0), covariance)


@given(covariances(), SHARES)
def test_shrunk_covariances_are_those_of_scikit_learn(covariance, share):
    before = covariance.clone()
    expected = torch.from_numpy(shrunk_covariance(covariance.numpy(), share))
    torch.testing.assert_close(shrink(covariance, share), expected)
    assert covariance.equal(before)


@given(covariances(), SHARES)
def test_shrinking_keeps_the_sum_of_variances(covariance, share):
    torch.testing.assert_close(shrink(covariance, share).trace(), covariance.trace())


@given(covariances())
def test_shrinkage_zero_leaves_the_covariance_and_one_makes_it_a_ball(covariance):
    assert shrink(covariance, 0.0).equal(covariance)
    ball = torch.eye(len(covariance)).double() * covariance.trace() / len(covariance)
    torch.testing.assert_close(shrink(covariance, 1.0), ball)


@given(covariances())
def test_the_map_is_the_matrix_power_minus_one_half(covariance):
    expected = fractional_matrix_power(covariance.numpy(), -0.5).real
    torch.testing.assert_close(
        whitening_map(covariance), torch.from_numpy(expected), rtol=1e-6, atol=1e-6
    )


@given(covariances())
def test_the_covariance_of_mapped_features_is_the_identity(covariance):
    map = whitening_map(covariance)
    assert map.equal(map.T)
    assert (torch.linalg.eigvalsh(map) > 0).all()
    whitened = map.T @ covariance @ map
    torch.testing.assert_close(
        whitened, torch.eye(len(map)).double(), rtol=1e-6, atol=1e-6
    )


@given(covariances(), SEEDS)
def test_the_map_turns_with_the_features(covariance, seed):
    turn = random_rotation(seed, len(covariance))
    expected = turn @ whitening_map(covariance) @ turn.T
    turned = whitening_map(turn @ covariance @ turn.T)
    torch.testing.assert_close(turned, expected, rtol=1e-5, atol=1e-6 * expected.max())


@given(SEEDS, SEEDS, st.integers(2, 6))
def test_no_other_whitening_map_changes_the_features_less(seed, turn_seed, size):
    covariance = random_covariance(seed, size)
    map = whitening_map(covariance)
    other = map @ random_rotation(turn_seed, size)  # whitens as well

    def change(map):  # mean of |x - x · map|²
        difference = torch.eye(size).double() - map
        return float((difference.T @ covariance @ difference).trace())

    assert change(map) <= change(other) + 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 3])
def test_without_any_variance_the_features_are_left_as_they_are(dtype, size):
    map = whitening_map(torch.zeros(size, size, dtype=dtype))
    assert map.equal(torch.eye(size, dtype=dtype))
    assert map.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_direction_without_variance_is_scaled_by_a_finite_number(dtype):
    map = whitening_map(torch.diag(torch.tensor([4.0, 0.0, 1.0], dtype=dtype)))
    least = 4 * 3 * torch.finfo(dtype).eps
    expected = torch.tensor([0.5, 1 / math.sqrt(least), 1.0], dtype=dtype)
    torch.testing.assert_close(map, torch.diag(expected))
    assert map.dtype == dtype


def test_a_variance_that_rounding_took_below_zero_counts_as_none():
    below = whitening_map(torch.diag(torch.tensor([1.0, -1e-9])))
    assert below.equal(whitening_map(torch.diag(torch.tensor([1.0, 0.0]))))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_maps_stay_on_the_device():
    covariance = random_covariance(0, 4)
    on_device = covariance.cuda()
    share = oas_shrinkage(on_device, 9)
    assert share == pytest.approx(oas_shrinkage(covariance, 9))
    map = whitening_map(shrink(on_device, share))
    torch.testing.assert_close(map.cpu(), whitening_map(shrink(covariance, share)))
    assert whitening_map(0 * on_device).is_cuda
