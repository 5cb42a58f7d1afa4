"""What a scatter takes and refuses, and what it gives where there is little data."""

import math

import numpy as np
import pytest
import torch

from headtail.statistics import WithinClassScatter
from tests.statistics.scatters import (
    assert_same,
    assert_unchanged,
    fitted,
    long_tail,
    state_of,
)


def pooled(X, y):
    """Return the covariance around the class means, in float64."""
    X = np.asarray(X, dtype=np.float64)
    rows = np.concatenate([X[y == c] - X[y == c].mean(axis=0) for c in np.unique(y)])
    return rows.T @ rows / (len(X) - len(np.unique(y)))


@pytest.mark.parametrize("n_parts", [1, 7])
@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"),
    [
        (np.float64, 0.0, 1e-12),
        (np.float64, 1e4, 1e-10),
        (np.float32, 0.0, 2e-5),
        (np.float32, 1e4, 5e-3),
    ],
)
def test_a_large_offset_loses_no_digits(dtype, offset, tolerance, n_parts):
    X, y, n_classes = long_tail(offset, dtype)
    scatter = WithinClassScatter(n_classes, 4)
    for rows in np.array_split(np.arange(len(X)), n_parts):  # class after class
        scatter.update(X[rows], y[rows])
    np.testing.assert_allclose(scatter.covariance, pooled(X, y), rtol=0, atol=tolerance)


DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int64]
DTYPES += [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_gives_the_covariance_of_its_values(dtype):
    X, y, n_classes = long_tail()
    values = torch.from_numpy(X * 4 + 40).clamp(0, 120).to(dtype)
    scatter = WithinClassScatter(n_classes, 4).update(values, torch.from_numpy(y))
    assert scatter.covariance.dtype == torch.float64
    expected = pooled(values.double().numpy(), y)
    np.testing.assert_allclose(scatter.covariance, expected, rtol=1e-5, atol=1e-4)


def test_large_integers_are_multiplied_in_float64():
    X = np.array([[2**30], [2**30 + 1], [2**30 + 2]])
    assert fitted(X, np.zeros(3, dtype=int), 1).covariance.tolist() == [[1.0]]


def test_read_only_arrays_memory_maps_and_lists_are_read(tmp_path):
    X, y, n_classes = long_tail(dtype=np.float32)
    expected = fitted(X, y, n_classes)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    frozen = X.copy()
    frozen.flags.writeable = False
    for source in (mapped, frozen, np.asfortranarray(X), X[::-1][::-1], X.tolist()):
        scatter = WithinClassScatter(n_classes, 4).update(source, y.tolist())
        assert_same(scatter, expected, rtol=1e-6)


def test_examples_are_neither_changed_nor_kept():
    X, y = torch.ones(2, 3, dtype=torch.float64), torch.tensor([0, 1])
    scatter = WithinClassScatter(2, 3).update(X, y)
    before = state_of(scatter)
    X += 1
    assert_unchanged(scatter, before)
    scatter.update(torch.zeros(1, 3), torch.tensor([0])).forget(X - 1, y)
    assert X.tolist() == [[2.0] * 3] * 2


def test_it_can_be_made_in_inference_mode_and_go_on_outside():
    X, y, n_classes = long_tail()
    with torch.inference_mode():
        scatter = fitted(X[:200], y[:200], n_classes)
        other = fitted(X[200:], y[200:], n_classes)
        empty = WithinClassScatter(n_classes, 4)
        merged = WithinClassScatter(n_classes, 4).merge(other)
    for made in (scatter, empty, merged):
        assert not made.within.is_inference()
        assert not made.statistics.sums.is_inference()
    scatter.merge(other).update(X, y).forget(X, y)
    assert_same(scatter, fitted(X, y, n_classes))
    features = torch.from_numpy(X).requires_grad_()
    assert not scatter.update(features, y).covariance.requires_grad


@pytest.mark.parametrize(
    ("rows", "labels"),
    [([], []), ([[0.3, 0.4]], [1]), ([[0.3, -77.7], [1e4 / 3, 0.1]], [1, 0])],
)
def test_without_two_examples_of_a_class_the_covariance_is_zero(rows, labels):
    X = np.array(rows).reshape(-1, 2)
    scatter = WithinClassScatter(2, 2).update(X, labels)
    assert scatter.degrees_of_freedom == 0
    assert scatter.covariance.equal(torch.zeros(2, 2).double())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_example_of_every_class_leaves_no_rest_of_rounding(dtype):
    X = long_tail(offset=50.0, dtype=dtype)[0]
    assert not fitted(X, np.arange(len(X)), len(X)).covariance.any()


def test_an_empty_batch_adds_nothing_first_or_later():
    X, y, n_classes = long_tail(offset=50.0)
    empty = X[:0], y[:0]
    scatter = WithinClassScatter(n_classes, 4).update(*empty).update(X, y)
    before = state_of(scatter)
    assert_unchanged(scatter.update(*empty).forget(*empty), before)
    assert_same(scatter, fitted(X, y, n_classes), rtol=1e-12)


def test_no_class_is_a_scatter_too():
    scatter = WithinClassScatter(0, 3).update(np.empty((0, 3)), [])
    assert (scatter.n_classes, scatter.n_features) == (0, 3)
    assert scatter.degrees_of_freedom == 0
    assert scatter.means.shape == (0, 3)
    assert scatter.covariance.equal(torch.zeros(3, 3).double())
    scatter.merge(WithinClassScatter(0, 3)).add_class()
    scatter.update([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], [0, 0])
    assert scatter.covariance[0].tolist() == [2.0, 0.0, -2.0]


def test_repr_shows_the_sizes():
    expected = "WithinClassScatter(n_classes=4, n_features=4, n_samples=431)"
    assert repr(fitted(*long_tail())) == expected


@pytest.mark.parametrize("action", ["update", "forget"])
@pytest.mark.parametrize(
    ("features", "labels", "error", "message"),
    [
        ([[1.0, 2.0], [math.nan, 0.0]], [0, 1], ValueError, r"\(rows \[1\]\)"),
        ([[math.inf, 2.0], [1.0, 0.0]], [0, 1], ValueError, r"\(rows \[0\]\)"),
        ([[1.0, 2.0]] * 3, [0, 2, -1], ValueError, r"in 0 … 1; got \[-1, 2\]"),
        ([[1.0, 2.0]], [0.0], TypeError, "integers; got float64"),
        ([[1.0, 2.0]], [0, 1], ValueError, r"features \(1\); got shape \[2\]"),
        ([[1.0, 2.0, 3.0]], [0], ValueError, r"\[n_samples, 2\]; got \[1, 3\]"),
        (np.ones((0, 3)), [], ValueError, r"\[n_samples, 2\]; got \[0, 3\]"),
        ([1.0, 2.0], [0, 1], ValueError, r"\[n_samples, 2\]; got \[2\]"),
        ([[1j, 2.0]], [0], TypeError, "real numbers; got torch.complex128"),
        ([[True, False]], [0], TypeError, "real numbers; got torch.bool"),
    ],
)
def test_refused_rows_change_nothing(features, labels, error, message, action):
    scatter = WithinClassScatter(2, 2).update([[1.0, 2.0], [3.0, 5.0]] * 3, [0, 1] * 3)
    before = state_of(scatter)
    with pytest.raises(error, match=message):
        getattr(scatter, action)(features, labels)
    assert_unchanged(scatter, before)


def test_more_than_was_seen_cannot_be_forgotten():
    scatter = WithinClassScatter(3, 1).update([[1.0], [2.0], [3.0]], [0, 1, 1])
    before = state_of(scatter)
    with pytest.raises(ValueError, match=r"classes \[0, 2\] would fall below zero"):
        scatter.forget([[1.0], [1.0], [5.0]], [0, 0, 2])
    assert_unchanged(scatter, before)


def test_only_a_scatter_of_the_same_shape_is_merged():
    scatter = fitted(*long_tail())
    before = state_of(scatter)
    for other, got in [((4, 3), r"\(4, 3\)"), ((5, 4), r"\(5, 4\)")]:
        with pytest.raises(ValueError, match=rf"same n_classes .*\(4, 4\) and {got}"):
            scatter.merge(WithinClassScatter(*other))
    with pytest.raises(TypeError, match="must be a scatter; got ClassStatistics"):
        scatter.merge(scatter.statistics)
    empty = WithinClassScatter(4, 4)
    with pytest.raises(ValueError, match=r"\(4, 4\) and \(4, 3\)"):
        empty.merge(WithinClassScatter(4, 3).update(np.ones((1, 3)), [0]))
    assert_unchanged(scatter, before)
    assert not empty.class_counts.any()


@pytest.mark.parametrize("sizes", [(-1, 2), (2, 0)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=f"got {sizes[0]} and {sizes[1]}"):
        WithinClassScatter(*sizes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_features_may_lie_on_another_device_than_the_statistics():
    X, y, n_classes = long_tail()
    scatter = WithinClassScatter(n_classes, 4, device="cuda").update(X[:200], y[:200])
    assert scatter.within.is_cuda
    other = fitted(X[200:], y[200:], n_classes)
    scatter.merge(other).add_class()
    chosen = scatter.copy().select(torch.arange(5), 5)
    assert chosen.covariance.is_cuda
    expected = fitted(X, y, n_classes).covariance
    torch.testing.assert_close(chosen.covariance.cpu(), expected)
    chosen.forget(torch.from_numpy(X), torch.from_numpy(y))
    assert not chosen.within.any()
