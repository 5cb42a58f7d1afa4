import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headtail.heads import CosineHead, LinearHead

SEEDS = st.integers(0, 2**31)


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def by_loops(X, weight, scale):
    def cosine(x, w):
        lengths = math.hypot(*x) * math.hypot(*w)
        return sum(a * b for a, b in zip(x, w, strict=True)) / lengths

    return torch.tensor(
        [[scale * cosine(x, w) for w in weight.tolist()] for x in X.tolist()],
        dtype=torch.float64,
    )


@given(SEEDS, st.integers(1, 5), st.integers(1, 6), st.floats(0.01, 100))
def test_forward_matches_loops(seed, n_classes, n_features, scale):
    X, weight = normal(seed, 4, n_features), normal(seed + 1, n_classes, n_features)
    logits = CosineHead(weight, scale)(X).detach()
    torch.testing.assert_close(logits, by_loops(X, weight, scale))


@given(SEEDS, st.floats(-200, 200), st.floats(-200, 200))
def test_lengths_change_no_logit(seed, feature_exponent, weight_exponent):
    X, weight = normal(seed, 4, 3), normal(seed + 1, 2, 3)
    scaled = CosineHead(weight * 10**weight_exponent)(X * 10**feature_exponent)
    torch.testing.assert_close(scaled, CosineHead(weight)(X))


@given(SEEDS)
def test_permuting_classes_permutes_the_logits(seed):
    X, weight = normal(seed, 4, 3), normal(seed + 1, 5, 3)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        CosineHead(weight[order])(X), CosineHead(weight)(X)[:, order]
    )


def test_head_of_unit_vectors_is_linear():
    weight = nn.functional.normalize(normal(0, 3, 4))
    linear = LinearHead(7.0 * weight, normalize=True)
    X = normal(1, 5, 4)
    torch.testing.assert_close(CosineHead(weight, 7.0)(X), linear(X))


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_extreme_float32_norms_change_no_logit(size):
    head = CosineHead(torch.tensor([[size, 0.0], [0.0, size]]), 10.0)
    logits = head(torch.tensor([[3 * size, -4 * size]]))
    torch.testing.assert_close(logits, torch.tensor([[6.0, -8.0]]))


def test_zeros_have_cosine_zero_with_everything():
    head = CosineHead(torch.tensor([[0.0, 0.0], [0.0, 2.0]]))
    logits = head(torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 0.0]]))
    assert logits.tolist() == [[0.0, 0.0], [0.0, 16.0], [0.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_take_the_dtype_of_the_weight(dtype):
    logits = CosineHead(torch.eye(2), 10.0)(torch.tensor([[3, 4]], dtype=dtype))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, torch.tensor([[6.0, 8.0]]))


@pytest.mark.parametrize(
    "scale", [10, 10.0, torch.tensor(10.0), torch.tensor([10.0]), torch.tensor(10)]
)
def test_scale_is_a_number_or_a_tensor_with_one_entry(scale):
    head = CosineHead(torch.eye(2), scale)
    assert head.scale.shape == ()
    assert head.scale.dtype == torch.float32
    assert head(torch.tensor([[0.0, 5.0]])).tolist() == [[0.0, 10.0]]


def test_scale_starts_at_16():
    assert CosineHead(torch.eye(2)).scale.item() == 16.0


def test_changing_the_originals_changes_nothing():
    weight, scale = torch.eye(2), torch.tensor([2.0])
    head = CosineHead(weight, scale)
    weight += 5
    scale += 5
    assert head(torch.tensor([[1.0, 0.0]])).tolist() == [[2.0, 0.0]]


def test_training_the_head_changes_no_original():
    weight, scale = nn.Parameter(torch.eye(2)), nn.Parameter(torch.tensor(2.0))
    head = CosineHead(weight, scale)
    head(torch.tensor([[3.0, 4.0]])).sum().backward()
    torch.optim.SGD(head.parameters(), lr=1.0).step()
    assert head.scale.item() == pytest.approx(2.0 - 1.4)
    assert not torch.equal(head.weight, torch.eye(2))
    assert (weight.tolist(), scale.item()) == (torch.eye(2).tolist(), 2.0)
    assert weight.grad is None
    assert scale.grad is None


def test_head_knows_its_sizes_and_classes():
    head = CosineHead(torch.ones(2, 3), classes=("b", "a"))
    assert (head.n_classes, head.n_features) == (2, 3)
    assert head.classes.tolist() == ["b", "a"]
    assert set(head.state_dict()) == {"weight", "scale"}


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=f"one positive number; got {scale}"):
        CosineHead(torch.eye(2), scale)


@pytest.mark.parametrize("scale", [torch.ones(2), torch.ones(0)])
def test_scale_of_other_length_is_refused(scale):
    with pytest.raises(ValueError, match="one positive number; got "):
        CosineHead(torch.eye(2), scale)


def test_weight_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"rows \[0\] hold NaN or inf"):
        CosineHead(torch.tensor([[math.nan, 1.0], [1.0, 1.0]]))


def test_classes_that_do_not_name_the_rows_are_refused():
    with pytest.raises(ValueError, match=r"each of the 2 rows; got shape \(3,\)"):
        CosineHead(torch.eye(2), classes=["a", "b", "c"])
