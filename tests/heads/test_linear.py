import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headtail.heads import LinearHead

SIZES = st.integers(1, 5)


@st.composite
def problems(draw):
    n_samples, n_classes, n_features = draw(SIZES), draw(SIZES), draw(SIZES)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "X": normal(n_samples, n_features),
        "weight": normal(n_classes, n_features),
        "bias": normal(n_classes) if draw(st.booleans()) else None,
        "center": normal(n_features) if draw(st.booleans()) else None,
        "normalize": draw(st.booleans()),
    }


def by_loops(X, weight, bias, center, normalize):
    logits = []
    for row in X.tolist():
        middle = [0.0] * len(row) if center is None else center.tolist()
        x = [a - b for a, b in zip(row, middle, strict=True)]
        length = math.hypot(*x) if normalize else 1.0
        scores = []
        for c, w in enumerate(weight.tolist()):
            score = sum(a * b for a, b in zip(x, w, strict=True)) / length
            scores.append(score if bias is None else score + bias[c].item())
        logits.append(scores)
    return torch.tensor(logits, dtype=torch.float64)


@given(problems())
def test_forward_matches_loops(problem):
    head = LinearHead(
        problem["weight"],
        problem["bias"],
        center=problem["center"],
        normalize=problem["normalize"],
    )
    torch.testing.assert_close(head(problem["X"]).detach(), by_loops(**problem))


def test_head_takes_the_place_of_a_linear_layer():
    torch_layer = nn.Linear(3, 2)
    head = LinearHead(torch_layer.weight, torch_layer.bias)
    X = torch.tensor([[1.0, -2.0, 3.0]])
    torch.testing.assert_close(head(X), torch_layer(X))


def test_zero_row_stays_zero_when_normalized():
    head = LinearHead(torch.ones(2, 3), torch.tensor([1.0, 2.0]), normalize=True)
    assert head(torch.zeros(1, 3)).tolist() == [[1.0, 2.0]]


def test_row_equal_to_the_center_stays_zero_when_normalized():
    center = torch.tensor([5.0, -1.0])
    head = LinearHead(torch.ones(2, 2), center=center, normalize=True)
    assert head(center[None]).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_normalized_logits_do_not_depend_on_extreme_norms(size):
    head = LinearHead(torch.eye(2), normalize=True)
    logits = head(torch.tensor([[3.0, -4.0]]) * size)
    torch.testing.assert_close(logits, torch.tensor([[0.6, -0.8]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_take_the_dtype_of_the_weight(dtype):
    head = LinearHead(torch.eye(2), torch.zeros(2), center=torch.zeros(2))
    logits = head(torch.tensor([[3, 4]], dtype=dtype))
    assert logits.dtype == torch.float32
    assert logits.tolist() == [[3.0, 4.0]]


def test_changing_the_originals_changes_nothing():
    weight, bias, center = torch.eye(2), torch.ones(2), torch.zeros(2)
    classes = ["a", "b"]
    head = LinearHead(weight, bias, center=center, classes=classes)
    for tensor in (weight, bias, center):
        tensor += 5
    classes[0] = "z"
    assert head(torch.tensor([[1.0, 2.0]])).tolist() == [[2.0, 3.0]]
    assert head.classes.tolist() == ["a", "b"]


def test_training_the_head_changes_no_original():
    weight, bias = nn.Parameter(torch.eye(2)), torch.ones(2)
    head = LinearHead(weight, bias)
    head(torch.tensor([[1.0, 2.0]])).sum().backward()
    torch.optim.SGD(head.parameters(), lr=1.0).step()
    assert head.weight.tolist() == [[0.0, -2.0], [-1.0, -1.0]]
    assert head.bias.tolist() == [0.0, 0.0]
    assert weight.tolist() == torch.eye(2).tolist()
    assert weight.grad is None
    assert bias.tolist() == [1.0, 1.0]


def test_center_is_a_constant_of_the_state():
    head = LinearHead(torch.eye(2), center=torch.ones(2))
    assert set(head.state_dict()) == {"weight", "center"}
    assert [name for name, _ in head.named_parameters()] == ["weight"]


def test_head_knows_its_sizes():
    head = LinearHead(torch.ones(2, 3))
    assert (head.n_classes, head.n_features) == (2, 3)
    assert repr(head) == "LinearHead(n_features=3, n_classes=2)"
    assert head.classes is None


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        ([[1.0]], TypeError, "weight must be a tensor; got list"),
        (torch.ones(2), ValueError, r"torch.float32 of shape \[2\]"),
        (torch.ones(0, 2), ValueError, r"of shape \[0, 2\]"),
        (torch.ones(2, 0), ValueError, r"of shape \[2, 0\]"),
        (torch.ones(2, 2).long(), ValueError, r"torch.int64 of shape \[2, 2\]"),
        (torch.tensor([[1.0], [math.nan]]), ValueError, r"rows \[1\] hold NaN"),
        (torch.tensor([[math.inf], [1.0]]), ValueError, r"rows \[0\] hold NaN"),
    ],
)
def test_weight_that_does_not_fit_is_refused(weight, error, message, monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(error, match=message):
        LinearHead(weight)


@pytest.mark.parametrize("name", ["bias", "center"])
@pytest.mark.parametrize(
    ("vector", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "must be a tensor; got list"),
        (torch.ones(3), ValueError, r"of 2 numbers; got torch.float32 of shape \[3\]"),
        (torch.ones(1, 2), ValueError, r"of shape \[1, 2\]"),
        (torch.ones(2).long(), ValueError, "got torch.int64"),
        (torch.tensor([1.0, math.nan]), ValueError, "must be finite"),
        (torch.tensor([1.0, -math.inf]), ValueError, "must be finite"),
    ],
)
def test_vector_that_does_not_fit_is_refused(name, vector, error, message, monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(error, match=f"{name} .*{message}"):
        LinearHead(torch.ones(2, 2), **{name: vector})


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a"], r"each of the 2 rows; got shape \(1,\)"),
        ([["a", "b"]], r"got shape \(1, 2\)"),
        (["a", "a"], r"distinct; \['a'\] come twice"),
        ([7, 7], r"distinct; \[7\] come twice"),
    ],
)
def test_classes_that_do_not_name_the_rows_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        LinearHead(torch.ones(2, 2), classes=classes)
