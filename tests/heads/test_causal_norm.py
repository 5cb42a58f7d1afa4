"""Normalised logits in chunks, without the common direction."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headtail.heads import CausalNormHead, causal_norm_logits

WEIGHT = torch.tensor(
    [[1.0, -2.0, 0.3, 0.1], [0.5, 3.0, -1.0, 2.0], [0.0, 1.0, 1.0, 0.0]]
)
DIRECTION = torch.tensor([1.0, 2.0, -0.5, 0.0])
X = torch.tensor([[1.0, 2.0, -1.0, 0.5], [-3.0, 0.5, 2.0, 2.0]])


def by_loops(features, weight, direction, n_chunks, alpha):
    """One sample, class and chunk at a time; the paper's τ is 16."""
    size = features.shape[1] // n_chunks
    rows = []
    for x in features.tolist():
        row = []
        for w in weight.tolist():
            total = 0.0
            for k in range(n_chunks):
                part = slice(k * size, (k + 1) * size)
                xk, wk, dk = x[part], w[part], direction.tolist()[part]
                lx, lw, ld = (math.sqrt(sum(a * a for a in v)) for v in (xk, wk, dk))
                xw = sum(a * b for a, b in zip(xk, wk, strict=True))
                xd = sum(a * b for a, b in zip(xk, dk, strict=True))
                wd = sum(a * b for a, b in zip(wk, dk, strict=True))
                cosine = xd / (lx * ld) if ld else 0.0
                along = wd / ld if ld else 0.0
                total += (xw / lx - alpha * cosine * along) / (lw + 0.03125)
            row.append(16 / n_chunks * total)
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.integers(0, 2**31),
)
def test_logits_are_those_of_the_loops(
    n_samples, n_classes, n_chunks, size, alpha, seed
):
    generator = torch.Generator().manual_seed(seed)
    features, weight, direction = (
        torch.randn(n, n_chunks * size, generator=generator, dtype=torch.float64)
        for n in (n_samples, n_classes, 1)
    )
    expected = by_loops(features, weight, direction[0], n_chunks, alpha)
    got = causal_norm_logits(
        features, weight, n_chunks=n_chunks, direction=direction[0], alpha=alpha
    )
    torch.testing.assert_close(got, expected)
    head = CausalNormHead(weight, direction[0], n_chunks=n_chunks, alpha=alpha)
    torch.testing.assert_close(head(features).detach(), expected)


def test_alpha_zero_and_no_direction_are_the_logits_of_training():
    x, weight = X.double(), WEIGHT.double()
    plain = causal_norm_logits(x, weight)
    torch.testing.assert_close(plain, by_loops(x, weight, DIRECTION, 2, 0.0))
    assert CausalNormHead(weight, DIRECTION, alpha=0.0)(x).equal(plain)
    assert causal_norm_logits(x, weight, alpha=9.0).equal(plain)


def test_only_directions_of_features_and_of_the_mean_count():
    head = CausalNormHead(WEIGHT, DIRECTION)
    longer = CausalNormHead(WEIGHT, 1e3 * DIRECTION)
    torch.testing.assert_close(head(7 * X), head(X))
    torch.testing.assert_close(longer(X), head(X))


def test_alpha_one_leaves_nothing_along_the_direction():
    head = CausalNormHead(WEIGHT, DIRECTION, n_chunks=1, alpha=1.0)
    logits = head(3 * DIRECTION[None])
    torch.testing.assert_close(logits, torch.zeros(1, 3), atol=1e-5, rtol=0)


def test_zero_chunks_of_features_weights_and_direction_stay_finite():
    zero = torch.zeros(1, 4)
    head = CausalNormHead(torch.zeros(2, 4), torch.zeros(4))
    assert head(zero).tolist() == [[0.0, 0.0]]
    half = torch.tensor([1.0, 2.0, 0.0, 0.0])
    logits = CausalNormHead(WEIGHT.double(), half)(X)
    expected = by_loops(X.double(), WEIGHT.double(), half, 2, 1.5)
    torch.testing.assert_close(logits.detach(), expected)


def test_the_mean_direction_is_a_constant_of_the_state():
    head = CausalNormHead(WEIGHT, DIRECTION)
    assert set(head.state_dict()) == {"weight", "direction"}
    assert [name for name, _ in head.named_parameters()] == ["weight"]
    head(X).square().sum().backward()
    assert head.weight.grad.abs().sum() > 0


def test_changing_the_originals_changes_nothing():
    weight, direction = WEIGHT.clone(), DIRECTION.clone()
    head = CausalNormHead(weight, direction)
    before = head(X)
    weight += 1
    direction += 1
    assert head(X).equal(before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_dtype_is_that_of_the_weight(dtype):
    head = CausalNormHead(WEIGHT.to(dtype), DIRECTION.double())
    assert head.direction.dtype == dtype
    assert head(X.double()).dtype == dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_is_that_of_the_weight():
    head = CausalNormHead(WEIGHT.cuda(), DIRECTION)
    expected = CausalNormHead(WEIGHT, DIRECTION)(X)
    torch.testing.assert_close(head(X.cuda()).cpu(), expected)


def test_the_head_takes_the_place_of_a_last_layer():
    network = nn.Module()
    network.fc = nn.Linear(4, 3)
    network.fc = CausalNormHead(WEIGHT, DIRECTION)
    assert network.fc(X).shape == (2, 3)
    assert "fc.direction" in network.state_dict()


def test_head_knows_its_sizes_and_what_the_state_does_not_tell():
    head = CausalNormHead(WEIGHT, DIRECTION, n_chunks=4, alpha=2.0, classes=[3, 4, 5])
    assert (head.n_classes, head.n_features) == (3, 4)
    assert head.classes.tolist() == [3, 4, 5]
    assert head.spec() == {"type": "causal-norm", "n_chunks": 4, "alpha": 2.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_chunks": 3}, r"n_chunks must divide n_features \(4\); got 3"),
        ({"n_chunks": 0}, "got 0"),
        ({"n_chunks": -2}, "got -2"),
        ({"n_chunks": 8}, "got 8"),
        ({"alpha": -0.1}, "alpha must be at least 0 and finite; got -0.1"),
        ({"alpha": math.nan}, "alpha must be .* got nan"),
        ({"alpha": math.inf}, "alpha must be .* got inf"),
        ({"direction": torch.ones(3)}, r"direction .* of 4 numbers; got .*\[3\]"),
        ({"direction": DIRECTION * math.nan}, "direction must be finite"),
        ({"weight": WEIGHT[0]}, r"weight .* of shape \[4\]"),
        ({"classes": ["a"]}, r"3 rows; got shape \(1,\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, message, monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        CausalNormHead(**{"weight": WEIGHT, "direction": DIRECTION, **options})
