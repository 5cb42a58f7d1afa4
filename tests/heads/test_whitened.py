"""Heads on mapped features, and those that take the map into their own weight."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headtail.heads import (
    AffineHead,
    CosineHead,
    EnsembleHead,
    LinearHead,
    WhitenedHead,
    linear_form,
    load_head,
    whitened_head,
)

SIZES, SEEDS = st.integers(1, 4), st.integers(0, 2**31)
MAP = torch.tensor([[2.0, 0.5], [-1.0, 0.0], [0.0, 3.0]])  # not symmetric, not square
CENTER = torch.tensor([1.0, -2.0, 0.5])
WEIGHT = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0], [-1.0, -1.0]])
BIAS = torch.tensor([0.5, 0.0, -1.0, 2.0])
X = torch.tensor([[1.0, 2.0, -0.5], [-3.0, 0.5, 4.0], [0.0, 0.0, 0.0]])
LABELS = ["ant", "bee", "cat", "dog"]

INNER = {
    "bare": LinearHead(WEIGHT),
    "biased": LinearHead(WEIGHT, BIAS),
    "centered": LinearHead(WEIGHT, BIAS, center=torch.tensor([0.5, -1.0])),
    "directions": LinearHead(WEIGHT, BIAS, normalize=True),
    "cosine": CosineHead(WEIGHT, 5.0),
    "affine": AffineHead(LinearHead(WEIGHT), BIAS, BIAS),
    "ensemble": EnsembleHead([CosineHead(WEIGHT), LinearHead(WEIGHT)]),
}
FOLDED = ("bare", "biased", "centered")
EVERY = pytest.mark.parametrize("name", INNER)
NORMALIZE = pytest.mark.parametrize("normalize", [False, True])


def mapped(features, map, center, normalize):
    """Return (x - center) · map, one number at a time."""
    rows = []
    for row in features.tolist():
        length = (math.hypot(*row) or 1.0) if normalize else 1.0
        moved = [x / length - c for x, c in zip(row, center.tolist(), strict=True)]
        columns = zip(*map.tolist(), strict=True)
        rows.append(
            [sum(x * m for x, m in zip(moved, c, strict=True)) for c in columns]
        )
    return torch.tensor(rows, dtype=features.dtype)


def state_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@EVERY
@NORMALIZE
def test_logits_are_those_of_the_inner_head_on_mapped_features(name, normalize):
    head = INNER[name]
    expected = head(mapped(X, MAP, CENTER, normalize))
    wrapped = WhitenedHead(head, MAP, CENTER, normalize=normalize)
    torch.testing.assert_close(wrapped(X), expected)
    carried = whitened_head(head, MAP, CENTER, normalize=normalize)
    torch.testing.assert_close(carried(X), expected)


@given(SIZES, SIZES, SIZES, SIZES, st.booleans(), SEEDS)
def test_folded_and_wrapped_heads_agree(n_samples, n_classes, wide, inner, norm, seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    head = LinearHead(normal(n_classes, inner), normal(n_classes))
    parts = normal(wide, inner), normal(wide)
    folded = whitened_head(head, *parts, normalize=norm)
    wrapped = WhitenedHead(head, *parts, normalize=norm)
    features = normal(n_samples, wide)
    torch.testing.assert_close(folded(features), wrapped(features))
    torch.testing.assert_close(
        wrapped(features), head(mapped(features, *parts, normalize=norm))
    )


@EVERY
@NORMALIZE
def test_only_a_plain_linear_head_takes_the_map_into_its_weight(name, normalize):
    carried = whitened_head(INNER[name], MAP, CENTER, normalize=normalize)
    assert type(carried) is (LinearHead if name in FOLDED else WhitenedHead)
    assert carried.normalize is normalize
    assert (carried.n_classes, carried.n_features) == (4, 3)


def test_identity_and_no_center_are_the_head_itself():
    for head in INNER.values():
        same = WhitenedHead(head, torch.eye(2), torch.zeros(2))
        assert same(X[:, :2]).equal(head(X[:, :2]))


def test_a_zero_row_stays_zero_when_it_is_normalized():
    head = WhitenedHead(LinearHead(WEIGHT), MAP, CENTER, normalize=True)
    torch.testing.assert_close(head(X[2:]), -(CENTER @ MAP @ WEIGHT.T)[None])


def test_the_length_of_features_does_not_matter_when_they_are_normalized():
    for name, inner in INNER.items():
        head = whitened_head(inner, MAP, CENTER, normalize=True)
        torch.testing.assert_close(head(64 * X), head(X), msg=name)


@EVERY
@pytest.mark.parametrize("make", [WhitenedHead, whitened_head])
def test_nothing_given_is_changed_or_shared(name, make):
    inner, map, center = INNER[name], MAP.clone(), CENTER.clone()
    before = state_of(inner)
    head = make(inner, map, center)
    head(X).square().sum().backward()
    torch.optim.SGD(head.parameters(), lr=1.0).step()
    expected = head(X)
    map.add_(1)
    center.add_(1)
    assert head(X).equal(expected)
    assert all(value.equal(before[key]) for key, value in inner.state_dict().items())
    assert all(parameter.grad is None for parameter in inner.parameters())


def test_map_and_center_are_constants_and_the_inner_head_is_trained():
    head = WhitenedHead(LinearHead(WEIGHT, BIAS), MAP, CENTER)
    head(X).square().sum().backward()
    gradients = {name: value.grad for name, value in head.named_parameters()}
    assert set(gradients) == {"head.weight", "head.bias"}
    assert all(gradient.abs().sum() > 0 for gradient in gradients.values())
    assert {name for name, _ in head.named_buffers()} == {"map", "center"}


def test_a_folded_head_is_made_without_a_graph_and_can_be_trained():
    map, center = MAP.clone().requires_grad_(), CENTER.clone().requires_grad_()
    head = whitened_head(LinearHead(WEIGHT), map, center)
    assert all(p.is_leaf and p.requires_grad for p in head.parameters())
    head(X).sum().backward()
    assert map.grad is None
    assert center.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@EVERY
def test_the_dtype_is_that_of_the_inner_head(name, dtype):
    inner = WhitenedHead(INNER[name], MAP, CENTER).to(dtype).head
    for make in (WhitenedHead, whitened_head):
        head = make(inner, MAP.double(), CENTER.double())
        assert {value.dtype for value in head.state_dict().values()} == {dtype}
        assert head(X.double()).dtype == dtype


def test_a_small_shift_of_large_numbers_is_folded_in_float64():
    center = torch.tensor([10000.1, 9999.3], dtype=torch.float64)
    head = LinearHead(torch.tensor([[1.0, -1.0]]), torch.tensor([0.25]))
    map = torch.tensor([[1 / 3, 0.0], [0.0, 1 / 3]], dtype=torch.float64)
    folded = whitened_head(head, map, center)
    torch.testing.assert_close(folded.bias, torch.tensor([0.25 - 0.8 / 3]))


@EVERY
@pytest.mark.parametrize("make", [WhitenedHead, whitened_head])
def test_labels_are_those_of_the_inner_head(name, make):
    inner = INNER[name].select(torch.arange(4), LABELS)
    assert make(inner, MAP, CENTER).classes.tolist() == LABELS
    assert make(INNER[name], MAP, CENTER).classes is None


def test_labels_that_are_given_win_in_the_inner_head_too():
    inner = CosineHead(WEIGHT, classes=LABELS)
    head = WhitenedHead(inner, MAP, CENTER, classes=[4, 5, 6, 7])
    assert head.classes.tolist() == head.head.classes.tolist() == [4, 5, 6, 7]
    assert inner.classes.tolist() == LABELS


def test_the_head_takes_the_place_of_a_last_layer():
    network = nn.Module()
    network.fc = nn.Linear(3, 4)
    network.fc = WhitenedHead(CosineHead(WEIGHT), MAP, CENTER)
    assert network.fc(X).shape == (3, 4)
    assert {"fc.map", "fc.center", "fc.head.weight"} < set(network.state_dict())
    assert "n_features=3, n_classes=4" in repr(network.fc)


@EVERY
@NORMALIZE
@pytest.mark.parametrize("make", [WhitenedHead, whitened_head])
def test_a_saved_head_comes_back_with_the_same_bits(name, normalize, make, tmp_path):
    inner = INNER[name].select(torch.arange(4), LABELS)
    head = make(inner, MAP / 3, CENTER / 7, normalize=normalize)
    head.save(tmp_path / "head")
    loaded = load_head(tmp_path / "head")
    assert type(loaded) is type(head)
    assert loaded.spec() == head.spec()
    assert loaded.classes.tolist() == LABELS
    assert loaded(X).equal(head(X))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "head").read_bytes()


def test_it_has_no_linear_form():
    with pytest.raises(TypeError, match=r"one weight vector .*WhitenedHead"):
        linear_form(WhitenedHead(LinearHead(WEIGHT), MAP, CENTER))


@pytest.fixture
def _as_users_run(monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


@pytest.mark.usefixtures("_as_users_run")
@pytest.mark.parametrize(
    ("map", "center", "error", "message"),
    [
        (MAP.T, CENTER, ValueError, r"map must lead to the 2 .* got shape \[2, 3\]"),
        (MAP[:, :1], CENTER, ValueError, r"to the 2 features .* got shape \[3, 1\]"),
        (MAP, CENTER[:2], ValueError, r"center .* of 3 numbers; got .* \[2\]"),
        (MAP, CENTER.long(), ValueError, r"center .* of 3 numbers; got torch\.int64"),
        (MAP, CENTER / 0, ValueError, "center must be finite"),
        (MAP, CENTER.numpy(), TypeError, "center must be a tensor; got ndarray"),
        (MAP.numpy(), CENTER, TypeError, "must be a tensor; got ndarray"),
        (MAP[0], CENTER, ValueError, r"of shape \[2\]"),
        (MAP.long(), CENTER, ValueError, r"torch\.int64 of shape \[3, 2\]"),
        (MAP * math.nan, CENTER, ValueError, r"rows \[0, 1, 2\] hold NaN or inf"),
    ],
)
def test_a_map_or_center_that_does_not_fit_is_refused(map, center, error, message):
    with pytest.raises(error, match=message):
        WhitenedHead(CosineHead(WEIGHT), map, center)
    with pytest.raises(error, match=message):
        whitened_head(CosineHead(WEIGHT), map, center)


@pytest.mark.usefixtures("_as_users_run")
@pytest.mark.parametrize("map", [MAP.numpy(), MAP[0], MAP.long(), MAP / 0])
def test_a_refused_map_is_called_map(map):
    with pytest.raises((TypeError, ValueError), match="map must be"):
        WhitenedHead(CosineHead(WEIGHT), map, CENTER)


@pytest.mark.parametrize("center", [CENTER, CENTER[:2]])
def test_a_map_that_does_not_lead_to_a_linear_head_is_refused(center):
    with pytest.raises(
        ValueError, match=r"map must lead to the 2 .* got shape \[2, 3\]"
    ):
        whitened_head(LinearHead(WEIGHT), MAP.T, center)


def test_a_map_too_large_for_the_dtype_of_the_head_is_refused():
    with pytest.raises(ValueError, match="must be finite"):
        WhitenedHead(CosineHead(WEIGHT).half(), MAP * 1e6, CENTER)


@pytest.mark.usefixtures("_as_users_run")
@pytest.mark.parametrize(
    ("map", "center", "message"),
    [
        (MAP, CENTER[:2], r"center .* of 3 numbers; got .* \[2\]"),
        (MAP, CENTER.long(), r"center .* of 3 numbers; got torch\.int64"),
        (MAP, CENTER.numpy(), "center must be a tensor; got ndarray"),
        (MAP, CENTER / 0, "center must be finite"),
        (MAP.numpy(), CENTER, "map must be a tensor; got ndarray"),
        (MAP.long(), CENTER, r"map must be .* got torch\.int64"),
        (MAP * math.nan, CENTER, r"map must be finite; rows \[0, 1, 2\]"),
    ],
)
def test_what_does_not_fit_a_linear_head_is_refused_alike(map, center, message):
    with pytest.raises((TypeError, ValueError), match=message):
        whitened_head(LinearHead(WEIGHT), map, center)


def test_a_center_too_large_for_the_dtype_of_the_head_is_refused():
    with pytest.raises(ValueError, match="center must be finite"):
        WhitenedHead(CosineHead(WEIGHT).half(), MAP, CENTER * 1e6)


@pytest.mark.usefixtures("_as_users_run")
@pytest.mark.parametrize("make", [WhitenedHead, whitened_head])
def test_what_is_no_head_of_ours_is_refused(make):
    with pytest.raises(TypeError, match=r"a head of headtail\.heads; got Linear"):
        make(nn.Linear(2, 4), MAP, CENTER)


def test_labels_must_be_one_for_every_row():
    with pytest.raises(ValueError, match=r"4 rows; got shape \(1,\)"):
        WhitenedHead(CosineHead(WEIGHT), MAP, CENTER, classes=["ant"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@EVERY
@pytest.mark.parametrize("make", [WhitenedHead, whitened_head])
def test_the_device_is_that_of_the_inner_head(name, make):
    inner = WhitenedHead(INNER[name], MAP, CENTER).cuda().head
    expected = make(INNER[name], MAP, CENTER)(X)
    for map, center in [(MAP, CENTER), (MAP.cuda(), CENTER.cuda())]:
        head = make(inner, map, center)
        assert all(value.is_cuda for value in head.state_dict().values())
        torch.testing.assert_close(head(X.cuda()).cpu(), expected)
