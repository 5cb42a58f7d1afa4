"""The formulas of AlphaNet against plain loops, and the gradient of its clamps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from headtail.methods.transfer._coefficients import (
    _Clamp,
    bounded_coefficients,
    compose_rows,
    nearest_classes,
    normalized_coefficients,
    principal_components,
)

SEEDS = st.integers(0, 2**31)
GAMMAS = st.sampled_from([0.0, 0.1, 0.5, 0.6, 0.9, 1.0])


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


def slow_normalized(row):
    total = sum(abs(x) for x in row)
    return [x / total if total else 0.0 for x in row]


def slow_bounded(row, gamma):
    """METHODS.md section 4, one number at a time."""
    floor = (1 - gamma) / (len(row) - 1)
    out = []
    for j, x in enumerate(slow_normalized(row)):
        size = min(abs(x), gamma) if j == 0 else max(abs(x), floor)
        out.append(-size if x < 0 else size)
    return out


@given(SEEDS, st.integers(1, 4), st.integers(1, 5), GAMMAS)
def test_bounded_coefficients_match_the_loop(seed, n_few, n_neighbors, gamma):
    raw = normal(seed, n_few, n_neighbors + 1)
    raw[0, -1] = 0
    torch.testing.assert_close(
        normalized_coefficients(raw), rows(*map(slow_normalized, raw.tolist()))
    )
    expected = rows(*(slow_bounded(row, gamma) for row in raw.tolist()))
    ours = bounded_coefficients(raw, gamma)
    torch.testing.assert_close(ours, expected)
    signs = torch.where(raw < 0, -1.0, 1.0)
    assert (ours * signs >= 0).all()


@given(SEEDS, st.floats(1e-6, 1e6))
def test_only_the_proportions_of_raw_coefficients_count(seed, factor):
    raw = normal(seed, 3, 4)
    torch.testing.assert_close(
        bounded_coefficients(factor * raw, 0.6), bounded_coefficients(raw, 0.6)
    )


def test_where_clamps_act_the_bounds_are_exact():
    ours = bounded_coefficients(rows([-8, 1, -1, 0]), 0.6)
    assert ours.tolist() == [[-0.6, 0.4 / 3, -0.4 / 3, 0.4 / 3]]
    # Nothing is normalised afterwards: sizes need not sum to 1.
    assert bounded_coefficients(rows([1, 9, 0]), 0.6).tolist() == [[0.1, 0.9, 0.2]]
    assert bounded_coefficients(rows([-0.1, -3.0]), 0.5)[0, 1] < -0.9


def test_bounds_that_are_met_exactly_change_nothing():
    raw = rows([0.5, -0.25, 0.25], [-0.5, 0.25, -0.25])
    assert bounded_coefficients(raw, 0.5).equal(raw)


def test_a_row_of_zeros_stays_finite_forwards_and_backwards():
    raw = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert normalized_coefficients(raw).tolist() == [[0.0] * 3] * 2
    ours = bounded_coefficients(raw, 0.6)
    assert ours.tolist() == [[0.0, 0.2, 0.2]] * 2
    (ours * rows([1, -1, 2], [-1, 1, -2])).sum().backward()
    assert raw.grad.isfinite().all()


def test_gamma_zero_is_no_own_part_and_gamma_one_no_bound():
    raw = rows([3, -1, 0.5], [-9, 0.1, 0])
    none = bounded_coefficients(raw, 0.0)
    assert none[:, 0].abs().tolist() == [0, 0]
    assert none[:, 1:].tolist() == [[-0.5, 0.5], [0.5, 0.5]]
    assert bounded_coefficients(raw, 1.0).equal(normalized_coefficients(raw))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_stays(dtype):
    raw = rows([3, -1, 0.5]).to(dtype).requires_grad_()
    ours = bounded_coefficients(raw, 0.5)
    ours.sum().backward()
    assert ours.dtype == raw.grad.dtype == dtype


def clamp_gradient(alpha, gradient, gamma=0.6):
    alpha = alpha.clone().requires_grad_()
    _Clamp.apply(alpha, gamma).backward(gradient)
    return alpha.grad


@pytest.mark.parametrize("sign", [1, -1])
def test_the_gradient_passes_a_clamp_only_back_between_the_bounds(sign):
    # The own one is above 0.6, the first other below 0.2, the second between bounds.
    alpha = sign * rows([0.7, 0.1, 0.3])
    # A step goes against the gradient: to smaller sizes with the sign of alpha.
    smaller = sign * rows([2, 3, 5])
    assert clamp_gradient(alpha, smaller).equal(sign * rows([2, 0, 5]))
    assert clamp_gradient(alpha, -smaller).equal(sign * rows([0, -3, -5]))


@given(SEEDS)
def test_the_gradient_is_untouched_between_the_bounds(seed):
    alpha, gradient = rows([0.5, 0.25, -0.25], [-0.6, -0.2, 0.2]), normal(seed, 2, 3)
    assert clamp_gradient(alpha, gradient).equal(gradient)


@given(SEEDS, GAMMAS)
def test_the_one_sided_gradient_matches_the_loop(seed, gamma):
    alpha = normalized_coefficients(normal(seed, 3, 4))
    gradient = normal(seed + 1, 3, 4)
    ours = clamp_gradient(alpha, gradient, gamma)
    floor = (1 - gamma) / 3
    for i, j in np.ndindex(3, 4):
        a, g = alpha[i, j].item(), gradient[i, j].item()
        outside = abs(a) > gamma if j == 0 else abs(a) < floor
        after = abs(a - 1e-6 * g)
        inward = after < abs(a) if j == 0 else after > abs(a)
        expected = g if not outside or inward else 0.0
        assert ours[i, j].item() == expected


def hard_bounded(raw, gamma):
    """The clamps as `torch.clamp` has them, with no gradient where they act."""
    alpha = normalized_coefficients(raw)
    floor = (1 - gamma) / (raw.shape[1] - 1)
    own = alpha[:, :1].abs().clamp(max=gamma)
    others = alpha[:, 1:].abs().clamp(min=floor)
    return torch.where(alpha < 0, -1, 1) * torch.cat([own, others], dim=1)


def test_where_all_clamps_act_there_is_something_to_learn():
    # The trap of METHODS.md section 4: a hard clamp has no gradient anywhere here.
    target = rows([0.3, 0.4, -0.3])
    raw = rows([8, 1, -1]).requires_grad_()
    ((hard_bounded(raw, 0.6) - target) ** 2).sum().backward()
    assert raw.grad.tolist() == [[0, 0, 0]]
    raw.grad = None
    assert bounded_coefficients(raw, 0.6).equal(hard_bounded(raw, 0.6))
    optimizer = torch.optim.SGD([raw], lr=3.0)
    for _ in range(200):
        optimizer.zero_grad()
        ((bounded_coefficients(raw, 0.6) - target) ** 2).sum().backward()
        optimizer.step()
    torch.testing.assert_close(
        bounded_coefficients(raw, 0.6).detach(), target, atol=1e-3, rtol=0
    )


@given(SEEDS, st.integers(1, 4), st.integers(2, 6), st.sampled_from([(), (3,)]))
def test_composed_rows_match_the_loop(seed, n_few, n_classes, features):
    generator = torch.Generator().manual_seed(seed)
    n_vectors = min(n_classes, 3)
    table = normal(seed, n_classes, *features)
    alpha = normal(seed + 1, n_few, n_vectors)
    vectors = torch.stack(
        [torch.randperm(n_classes, generator=generator)[:n_vectors]] * n_few
    )
    ours = compose_rows(alpha, table, vectors)
    for i in range(n_few):
        expected = sum(
            alpha[i, j] * table[vectors[i, j]] for j in range(len(vectors[i]))
        )
        torch.testing.assert_close(ours[i], expected, rtol=1e-10, atol=1e-10)


def test_composed_rows_take_one_of_several_without_loss():
    table = normal(0, 5, 3).float()
    ours = compose_rows(torch.tensor([[1.0, 0.0]]), table, torch.tensor([[3, 0]]))
    assert ours[0].equal(table[3])
    assert ours.dtype == torch.float32


def slow_nearest(means, few, base, n_neighbors):
    neighbors, distances = [], []
    for i in few:
        pairs = [(math.dist(means[i], means[b]), k) for k, b in enumerate(base)]
        nearest = sorted(pairs)[:n_neighbors]
        neighbors.append([base[k] for _, k in nearest])
        distances.append([d for d, _ in nearest])
    return neighbors, distances


@given(
    SEEDS, st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.floats(0, 1e6)
)
def test_nearest_classes_match_the_loop(seed, n_few, n_base, n_neighbors, offset):
    generator = torch.Generator().manual_seed(seed)
    means = normal(seed, n_few + n_base, 3) + offset
    order = torch.randperm(n_few + n_base, generator=generator)
    few, base = order[:n_few], order[n_few:].sort().values
    ours, distances = nearest_classes(means, few, base, n_neighbors)
    expected = slow_nearest(means.tolist(), few.tolist(), base.tolist(), n_neighbors)
    assert ours.tolist() == expected[0]
    np.testing.assert_allclose(distances, expected[1], rtol=1e-9)


def test_of_two_classes_as_far_the_first_comes_first():
    means = rows([0, 0], [0, 1], [1, 0], [0, -1], [-1, 0], [3, 0])
    neighbors, distances = nearest_classes(
        means, torch.tensor([0]), torch.tensor([1, 2, 3, 4, 5]), 3
    )
    assert neighbors.tolist() == [[1, 2, 3]]
    assert distances.tolist() == [[1, 1, 1]]


def test_means_far_from_the_origin_keep_their_differences():
    # |a|² + |b|² - 2ab of such numbers has no digit left of the distance, in float32.
    offsets = torch.tensor([0.0, 3.0, 1.0, 2.0])[:, None].expand(-1, 40)
    neighbors, distances = nearest_classes(
        1e5 + offsets, torch.tensor([0]), torch.tensor([1, 2, 3]), 3
    )
    assert neighbors.tolist() == [[2, 3, 1]]
    np.testing.assert_allclose(distances, math.sqrt(40) * np.array([[1, 2, 3]]), 1e-6)


@given(SEEDS, st.integers(3, 8), st.integers(2, 6))
def test_principal_components_are_those_of_scikit_learn(seed, n_classes, n_features):
    weight = normal(seed, n_classes, n_features) + 5
    n_components = min(n_features, n_classes - 1)
    ours = principal_components(weight, n_components)
    assert ours.shape == (n_classes, n_components)
    theirs = PCA(n_components, svd_solver="full").fit_transform(weight.numpy())
    for mine, other in zip(ours.T, theirs.T, strict=True):
        sign = np.sign(mine.numpy() @ other)
        np.testing.assert_allclose(mine, sign * other, atol=1e-8)


@given(SEEDS)
def test_signs_of_components_do_not_depend_on_the_order_of_classes(seed):
    weight = normal(seed, 6, 4)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        principal_components(weight[order], 4), principal_components(weight, 4)[order]
    )


def test_all_components_keep_the_distances_of_classes():
    weight = normal(0, 6, 9)
    ours = principal_components(weight, 5)
    torch.testing.assert_close(torch.cdist(ours, ours), torch.cdist(weight, weight))
