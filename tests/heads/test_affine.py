"""Another head's logits, scaled and shifted."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headtail.heads import AffineHead, CosineHead, EnsembleHead, LinearHead
from headtail.heads.affine import affine_head

SIZES = st.integers(1, 4)
SCALE, SHIFT = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([0.0, 3.0, -4.0])
X = torch.tensor([[1.0, 2.0], [-3.0, 0.5]])


def base():
    return CosineHead(torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]]), 5.0)


@given(SIZES, SIZES, SIZES, st.integers(0, 2**31))
def test_logits_are_those_of_the_loop(n_samples, n_classes, n_features, seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    features, weight = normal(n_samples, n_features), normal(n_classes, n_features)
    scale, bias = normal(n_classes), normal(n_classes)
    logits = AffineHead(CosineHead(weight, 4.0), scale, bias)(features)
    for i, x in enumerate(features.tolist()):
        for c, w in enumerate(weight.tolist()):
            product = sum(a * b for a, b in zip(x, w, strict=True))
            cosine = product / math.hypot(*x) / math.hypot(*w)
            expected = scale[c].item() * 4.0 * cosine + bias[c].item()
            assert logits[i, c].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_scale_one_and_bias_zero_are_the_head_itself():
    head = AffineHead(base(), torch.ones(3), torch.zeros(3))
    assert head(X).equal(base()(X))


@pytest.mark.parametrize("bias", [None, torch.tensor([0.3, -0.2, 7.0])])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_simplest_form_of_a_linear_head_is_linear(bias, normalize):
    linear = LinearHead(
        base().weight,
        bias,
        center=torch.tensor([5.0, -1.0]),
        normalize=normalize,
        classes=["a", "b", "c"],
    )
    folded = affine_head(linear, scale=SCALE, bias=SHIFT)
    assert type(folded) is LinearHead
    assert folded.classes.tolist() == ["a", "b", "c"]
    wrapped = AffineHead(linear, SCALE, SHIFT)
    torch.testing.assert_close(folded(X), wrapped(X))


def test_another_head_is_wrapped_whatever_is_missing():
    for head in (base(), EnsembleHead([base()])):
        scaled, shifted = affine_head(head, scale=SCALE), affine_head(head, bias=SHIFT)
        assert type(scaled) is type(shifted) is AffineHead
        torch.testing.assert_close(scaled(X), SCALE * head(X))
        torch.testing.assert_close(shifted(X), head(X) + SHIFT)
        assert affine_head(head)(X).equal(head(X))


def test_a_linear_head_without_bias_gets_none_by_scaling():
    linear = LinearHead(torch.eye(2))
    scaled = affine_head(linear, scale=torch.tensor([2.0, 3.0]))
    assert scaled.bias is None
    assert affine_head(linear, bias=torch.ones(2)).bias.tolist() == [1.0, 1.0]


def test_nothing_given_is_changed_or_shared():
    head, scale, bias = base(), SCALE.clone(), SHIFT.clone()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    wrapped = AffineHead(head, scale, bias)
    wrapped(X).sum().backward()
    torch.optim.SGD(wrapped.parameters(), lr=1.0).step()
    assert scale.equal(SCALE)
    assert bias.equal(SHIFT)
    assert all(value.equal(before[n]) for n, value in head.state_dict().items())
    assert head.weight.grad is None
    assert not wrapped.head.weight.equal(head.weight)


def test_gradients_reach_scale_bias_and_the_inner_head():
    head = AffineHead(base(), SCALE, SHIFT)
    head(X).sum().backward()
    torch.testing.assert_close(head.bias.grad, torch.full((3,), 2.0))
    torch.testing.assert_close(head.scale.grad, base()(X).sum(dim=0).detach())
    assert head.head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_dtype_is_that_of_the_inner_head(dtype):
    head = AffineHead(base().to(dtype), SCALE.double(), SHIFT.half())
    assert {value.dtype for value in head.state_dict().values()} == {dtype}
    assert head(X.double()).dtype == dtype
    assert affine_head(base().to(dtype), scale=SCALE)(X).dtype == dtype
    linear = LinearHead(torch.ones(3, 2, dtype=dtype))
    assert affine_head(linear, scale=SCALE.double())(X).dtype == dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_is_that_of_the_inner_head():
    head = affine_head(base().cuda(), scale=SCALE, bias=SHIFT)
    assert {value.device.type for value in head.state_dict().values()} == {"cuda"}
    torch.testing.assert_close(
        head(X.cuda()).cpu(), AffineHead(base(), SCALE, SHIFT)(X)
    )


def test_the_head_takes_the_place_of_a_last_layer():
    network = nn.Module()
    network.fc = nn.Linear(2, 3)
    network.fc = AffineHead(base(), SCALE, SHIFT)
    assert network.fc(X).shape == (2, 3)
    assert "fc.head.weight" in network.state_dict()


def test_classes_are_those_given_or_those_of_the_inner_head():
    named = CosineHead(torch.eye(2), classes=["a", "b"])
    ones = torch.ones(2)
    assert AffineHead(named, ones, ones).classes.tolist() == ["a", "b"]
    assert AffineHead(named, ones, ones, classes=[7, 9]).classes.tolist() == [7, 9]
    assert AffineHead(CosineHead(torch.eye(2)), ones, ones).classes is None


def test_head_knows_its_sizes():
    head = AffineHead(base(), SCALE, SHIFT)
    assert (head.n_classes, head.n_features) == (3, 2)
    assert head.spec() == {"type": "affine", "head": {"type": "cosine"}}


def test_what_does_not_fit_is_refused(monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(TypeError, match=r"a head of headtail\.heads; got Linear"):
        AffineHead(nn.Linear(2, 3), SCALE, SHIFT)
    with pytest.raises(ValueError, match=r"scale .* of 3 numbers; got .*\[2\]"):
        AffineHead(base(), torch.ones(2), SHIFT)
    with pytest.raises(ValueError, match=r"bias .* of 3 numbers; got torch.int64"):
        AffineHead(base(), SCALE, SHIFT.long())
    with pytest.raises(ValueError, match="scale must be finite"):
        AffineHead(base(), SCALE * math.nan, SHIFT)
    with pytest.raises(TypeError, match="bias must be a tensor; got list"):
        AffineHead(base(), SCALE, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"3 rows; got shape \(2,\)"):
        AffineHead(base(), SCALE, SHIFT, classes=["a", "b"])
