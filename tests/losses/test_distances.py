import math

import pytest
import torch

from headtail.losses.distances import distances_within


@pytest.mark.parametrize("n_samples", [0, 1, 3, 40])
def test_distances_match_loops(n_samples):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n_samples, 3, generator=generator, dtype=torch.float64)
    rows = features.tolist()
    expected = [[math.dist(a, b) for b in rows] for a in rows]
    expected = torch.tensor(expected, dtype=torch.float64).reshape(n_samples, n_samples)
    torch.testing.assert_close(distances_within(features), expected)


@pytest.mark.parametrize("n_samples", [2, 40])  # torch takes another way from 25 on
def test_near_rows_far_from_the_origin_keep_their_distance(n_samples):
    steps = torch.arange(n_samples) / 64
    features = torch.stack([1000 + steps, torch.full_like(steps, -1000)], dim=1)
    expected = (steps[:, None] - steps).abs()
    torch.testing.assert_close(distances_within(features), expected)


def test_coinciding_rows_have_gradient_zero():
    features = torch.tensor([[1.0, 2.0], [1.0, 2.0], [4.0, 6.0]], requires_grad=True)
    distances_within(features)[0, 1].backward()
    assert torch.equal(features.grad, torch.zeros(3, 2))
    distances_within(features)[0, 2].backward()
    expected = torch.tensor([[-0.6, -0.8], [0.0, 0.0], [0.6, 0.8]])
    torch.testing.assert_close(features.grad, expected)
