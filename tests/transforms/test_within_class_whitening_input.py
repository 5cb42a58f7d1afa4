"""Inputs of every kind, and heads on raw features."""

import numpy as np
import pytest
import torch

from headtail.heads import CosineHead, LinearHead, WhitenedHead, load_head
from headtail.transforms import WithinClassWhitening


def fixed(n_features=3):
    rng = np.random.default_rng(0)
    y = np.repeat([7, 2, 5], [60, 20, 5])
    X = rng.normal(size=(85, n_features)) * np.arange(1, n_features + 1)
    return X + rng.normal(scale=2, size=(8, n_features))[y], y


NARROW = ["float16", "float32"]
# Small integers come out in float64, but are multiplied in float32.
SMALL = ["uint8", "bool"]
WIDE = ["float64", "int64", "int32", "uint16"]


@pytest.mark.parametrize("dtype", [*NARROW, *SMALL, *WIDE])
@pytest.mark.parametrize("tensor", [False, True])
def test_half_and_single_precision_give_float32_and_the_rest_float64(dtype, tensor):
    X, y = fixed()
    values = np.clip(8 * X + 50, 0, 255).astype(np.uint8)
    values = values > 50 if dtype == "bool" else values.astype(dtype)
    given = torch.from_numpy(values) if tensor else values
    Z = WithinClassWhitening(0.1).fit_transform(given, y)
    assert isinstance(Z, torch.Tensor if tensor else np.ndarray)
    assert str(Z.dtype).endswith("float32" if dtype in NARROW else "float64")
    expected = WithinClassWhitening(0.1).fit_transform(values.astype(float), y)
    tolerance = 1e-9 if dtype in WIDE else 1e-4
    np.testing.assert_allclose(Z, expected, rtol=tolerance, atol=tolerance)


def test_bfloat16_tensors_are_whitened_in_float32():
    X, y = fixed()
    features = torch.from_numpy(X).bfloat16()
    Z = WithinClassWhitening().fit_transform(features, torch.from_numpy(y))
    assert Z.dtype == torch.float32
    expected = WithinClassWhitening().fit_transform(features.double(), y)
    torch.testing.assert_close(Z.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_does_not_matter(dtype, tmp_path):
    X, y = fixed()
    X = X.astype(dtype)
    expected = WithinClassWhitening().fit_transform(X, y)
    np.save(tmp_path / "X.npy", X)
    frozen = X.copy()
    frozen.flags.writeable = False
    twice = np.repeat(X, 2, axis=1)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    foreign = X.astype(X.dtype.newbyteorder(">"))
    for source in (frozen, mapped, foreign, np.asfortranarray(X), twice[:, ::2]):
        Z = WithinClassWhitening().fit_transform(source, y)
        np.testing.assert_allclose(Z, expected, rtol=1e-4, atol=1e-4)
        assert Z.dtype == dtype
        assert type(Z) is np.ndarray
    backwards = WithinClassWhitening().fit_transform(X[::-1], y[::-1])
    np.testing.assert_allclose(backwards[::-1], expected, rtol=1e-4, atol=1e-4)


def test_what_is_given_is_not_changed():
    X, y = fixed()
    features, labels = X.copy(), y.copy()
    whitening = WithinClassWhitening(center=None).fit(features, labels)
    Z = whitening.transform(features)
    whitening.partial_fit(features, labels).forget(features, labels)
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(labels, y)
    assert not np.shares_memory(Z, features)


def test_the_size_of_blocks_changes_nothing(monkeypatch):
    X, y = fixed()
    whitening = WithinClassWhitening().fit(X, y)
    expected = whitening.transform(X)
    for module in (
        "headtail.transforms.within_class_whitening",
        "headtail.methods._door",
    ):
        monkeypatch.setattr(
            f"{module}.row_blocks",
            lambda n_rows, *_: [slice(i, i + 4) for i in range(0, n_rows, 4)],
        )
    np.testing.assert_allclose(whitening.transform(X), expected)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-2)]
)
def test_a_large_offset_of_all_features_does_not_matter(dtype, tolerance):
    X, y = fixed()
    moved = (X + 1e4).astype(dtype)
    plain = WithinClassWhitening().fit(moved.astype(np.float64) - 1e4, y)
    ours = WithinClassWhitening().fit(moved, y)
    np.testing.assert_allclose(ours.map_, plain.map_, rtol=0, atol=tolerance)
    Z = ours.transform(moved)
    expected = plain.transform(moved.astype(np.float64) - 1e4)
    np.testing.assert_allclose(Z, expected, rtol=0, atol=tolerance)


def test_a_large_offset_of_float32_features_costs_no_digits():
    X, y = fixed()
    moved = (X + 1e4).astype(np.float32)
    plain = WithinClassWhitening().fit(moved.astype(np.float64) - 1e4, y)
    ours = WithinClassWhitening().fit(moved, y)
    np.testing.assert_allclose(ours.map_, plain.map_, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.zeros((2, 4)), ValueError, "X has 4 features, but Within.* is expecting 3"),
        (torch.zeros(2, 4), ValueError, "X has 4 features, but Within.* expecting 3"),
        (np.zeros(3), ValueError, "Expected 2D array, got 1D array"),
        (torch.zeros(0, 3), ValueError, r"at least 1 sample .* shape \[0, 3\]"),
        (np.full((2, 3), np.nan), ValueError, r"2 rows hold NaN .* \[0, 1\]"),
        (torch.full((1, 3), torch.inf), ValueError, r"1 rows hold NaN .* \[0\]"),
        (torch.zeros(2, 3).to_sparse(), TypeError, "must be a dense tensor"),
        (torch.zeros(2, 3) * 1j, TypeError, r"real numbers; got .*complex64"),
    ],
)
def test_features_that_do_not_fit_are_not_transformed(given, error, message):
    whitening = WithinClassWhitening().fit(*fixed())
    with pytest.raises(error, match=message):
        whitening.transform(given)


def heads():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(4, generator=generator, dtype=torch.float64)
    return {
        "linear": LinearHead(weight, bias, classes=list("abcd")),
        "bare": LinearHead(weight),
        "directions": LinearHead(weight, bias, center=weight[0], normalize=True),
        "cosine": CosineHead(weight, 9.0, classes=[4, 3, 2, 1]),
    }


@pytest.mark.parametrize("name", heads())
@pytest.mark.parametrize("center", ["class-means", "samples", None])
def test_a_head_on_whitened_features_is_carried_to_raw_ones(name, center, tmp_path):
    X, y = (torch.from_numpy(part) for part in fixed())
    whitening = WithinClassWhitening(center=center).fit(X, y)
    head = heads()[name]
    carried = whitening.carried_by(head)
    torch.testing.assert_close(carried(X), head(whitening.transform(X)))
    assert type(carried) is (LinearHead if name in ("linear", "bare") else WhitenedHead)
    assert (carried.classes is None) == (head.classes is None)
    carried.save(tmp_path / "head")
    assert load_head(tmp_path / "head")(X).equal(carried(X))


def test_a_carried_head_stays_as_it_was_when_examples_come_later():
    X, y = fixed()
    whitening = WithinClassWhitening().fit(X, y)
    for head in heads().values():
        carried = whitening.carried_by(head)
        before = carried(torch.from_numpy(X))
        whitening.partial_fit(3 * X, y)
        assert carried(torch.from_numpy(X)).equal(before)


@pytest.mark.parametrize("name", ["directions", "cosine"])
def test_a_head_of_another_width_is_not_carried(name):
    whitening = WithinClassWhitening().fit(*fixed(n_features=5))
    message = r"lead to the 3 features of head; got shape \[5, 5\]"
    with pytest.raises(ValueError, match=message):
        whitening.carried_by(heads()[name])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_work_is_done_on_the_device_and_comes_back():
    X, y = fixed()
    expected = WithinClassWhitening().fit(X, y)
    on_device = WithinClassWhitening(device="cuda").fit(X, y)
    assert on_device.map_.is_cuda
    assert isinstance(on_device.transform(X), np.ndarray)
    features = torch.from_numpy(X).cuda()
    for whitening in (on_device, WithinClassWhitening().fit(features, y)):
        Z = whitening.transform(features)
        assert Z.is_cuda
        torch.testing.assert_close(Z.cpu().numpy(), expected.transform(X))
    head = heads()["cosine"]
    carried = on_device.carried_by(head)
    torch.testing.assert_close(
        carried(torch.from_numpy(X)), head(torch.from_numpy(expected.transform(X)))
    )
    on_device.merge(expected).forget(X, y)
    torch.testing.assert_close(on_device.map_.cpu(), expected.map_)
