"""Logits that are aligned as far as a sample asks for it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headtail.heads import CosineHead, DisAlignHead, LinearHead, align_logits

SIZES = st.integers(1, 4)
SCALE, SHIFT = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([0.0, 3.0, -4.0])
CONFIDENCE = torch.tensor([0.3, -0.2])
X = torch.tensor([[1.0, 2.0], [-3.0, 0.5]])


def base():
    return LinearHead(torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]]))


def as_mixture(logits, features, scale, bias, confidence):
    """Equations 6 to 8, one sample and class at a time."""
    rows = []
    for z, x in zip(logits.tolist(), features.tolist(), strict=True):
        asked = sum(v * a for v, a in zip(confidence.tolist(), x, strict=True))
        share = 1 / (1 + math.exp(-asked))
        aligned = [
            a * b + c for a, b, c in zip(scale.tolist(), z, bias.tolist(), strict=True)
        ]
        rows.append(
            [share * a + (1 - share) * b for a, b in zip(aligned, z, strict=True)]
        )
    return torch.tensor(rows, dtype=torch.float64)


@given(SIZES, SIZES, SIZES, st.integers(0, 2**31))
def test_logits_are_a_mixture_per_sample(n_samples, n_classes, n_features, seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits, features = normal(n_samples, n_classes), normal(n_samples, n_features)
    parts = normal(n_classes), normal(n_classes), normal(n_features)
    named = dict(zip(("scale", "bias", "confidence"), parts, strict=True))
    expected = as_mixture(logits, features, **named)
    torch.testing.assert_close(align_logits(logits, features, **named), expected)
    weight = normal(n_classes, n_features)
    head = DisAlignHead(LinearHead(weight), **named)
    torch.testing.assert_close(
        head(features).detach(), as_mixture(features @ weight.T, features, **named)
    )


def test_scale_one_and_bias_zero_are_the_head_itself():
    head = DisAlignHead(base(), torch.ones(3), torch.zeros(3), CONFIDENCE)
    assert head(X).equal(base()(X))


@pytest.mark.parametrize(("sign", "side"), [(1, "aligned"), (-1, "plain")])
def test_a_sure_sample_takes_one_side(sign, side):
    confidence = torch.tensor([sign * 1e4, 0.0])
    head = DisAlignHead(base(), SCALE, SHIFT, confidence)
    z = base()(X[:1])
    expected = SCALE * z + SHIFT if side == "aligned" else z
    torch.testing.assert_close(head(X[:1]), expected)


def test_the_inner_head_sees_raw_features_and_so_does_the_confidence():
    moved = LinearHead(base().weight, center=torch.tensor([5.0, 5.0]))
    head = DisAlignHead(moved, SCALE, SHIFT, CONFIDENCE)
    expected = as_mixture(moved(X).detach(), X, SCALE, SHIFT, CONFIDENCE)
    torch.testing.assert_close(head(X).detach().double(), expected, check_dtype=False)


def test_nothing_given_is_changed_or_shared():
    head = base()
    given_parts = SCALE.clone(), SHIFT.clone(), CONFIDENCE.clone()
    before = head.weight.detach().clone()
    aligned = DisAlignHead(head, *given_parts)
    aligned(X).square().sum().backward()
    torch.optim.SGD(aligned.parameters(), lr=1.0).step()
    assert head.weight.equal(before)
    assert head.weight.grad is None
    for ours, theirs in zip(given_parts, (SCALE, SHIFT, CONFIDENCE), strict=True):
        assert ours.equal(theirs)


def test_gradients_reach_every_parameter():
    head = DisAlignHead(base(), SCALE, SHIFT, CONFIDENCE)
    head(X).square().sum().backward()
    gradients = {name: value.grad for name, value in head.named_parameters()}
    assert set(gradients) == {"head.weight", "scale", "bias", "confidence"}
    assert all(gradient.abs().sum() > 0 for gradient in gradients.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_dtype_is_that_of_the_inner_head(dtype):
    head = DisAlignHead(base().to(dtype), SCALE.double(), SHIFT, CONFIDENCE.half())
    assert {value.dtype for value in head.state_dict().values()} == {dtype}
    assert head(X.double()).dtype == dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_is_that_of_the_inner_head():
    head = DisAlignHead(base().cuda(), SCALE, SHIFT, CONFIDENCE)
    assert {value.device.type for value in head.state_dict().values()} == {"cuda"}
    expected = DisAlignHead(base(), SCALE, SHIFT, CONFIDENCE)(X)
    torch.testing.assert_close(head(X.cuda()).cpu(), expected)


def test_the_head_takes_the_place_of_a_last_layer():
    network = nn.Module()
    network.fc = nn.Linear(2, 3)
    network.fc = DisAlignHead(base(), SCALE, SHIFT, CONFIDENCE)
    assert network.fc(X).shape == (2, 3)
    assert "fc.head.weight" in network.state_dict()


def test_head_knows_its_sizes_and_classes():
    head = DisAlignHead(base(), SCALE, SHIFT, CONFIDENCE, classes=["a", "b", "c"])
    assert (head.n_classes, head.n_features) == (3, 2)
    assert head.classes.tolist() == ["a", "b", "c"]
    assert head.spec()["type"] == "disalign"
    named = CosineHead(torch.ones(3, 2), classes=[5, 6, 7])
    assert DisAlignHead(named, SCALE, SHIFT, CONFIDENCE).classes.tolist() == [5, 6, 7]


def test_what_does_not_fit_is_refused(monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(TypeError, match=r"a head of headtail\.heads; got Linear"):
        DisAlignHead(nn.Linear(2, 3), SCALE, SHIFT, CONFIDENCE)
    with pytest.raises(ValueError, match=r"scale .* of 3 numbers; got .*\[2\]"):
        DisAlignHead(base(), torch.ones(2), SHIFT, CONFIDENCE)
    with pytest.raises(ValueError, match=r"bias .* of 3 numbers; got .*\[2\]"):
        DisAlignHead(base(), SCALE, torch.ones(2), CONFIDENCE)
    with pytest.raises(ValueError, match=r"confidence .* of 2 numbers; got .*\[3\]"):
        DisAlignHead(base(), SCALE, SHIFT, torch.ones(3))
    with pytest.raises(ValueError, match="confidence must be finite"):
        DisAlignHead(base(), SCALE, SHIFT, CONFIDENCE / 0)
