import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.statistics import class_sums as kernel

SMALL = {"_WINDOW_NUMBERS": 12, "_BAG_ROWS": 2, "_BAGS_AT_ONCE": 3}


def by_loops(features, labels, n_classes):
    """Recompute in float64, one number after the other."""
    rows = [[float(x) for x in row] for row in features.tolist()]
    of_class = [
        [row for row, label in zip(rows, labels.tolist(), strict=True) if label == c]
        for c in range(n_classes)
    ]
    zeros = [sum(not any(row) for row in mine) for mine in of_class]
    units = [
        [[x / (math.hypot(*row) or 1) for x in row] for row in mine]
        for mine in of_class
    ]
    sums, unit_sums = (
        [
            [math.fsum(row[j] for row in mine) for j in range(features.shape[1])]
            for mine in part
        ]
        for part in (of_class, units)
    )
    return zeros, np.array(sums), np.array(unit_sums)


def assert_sums_match(features, labels, n_classes, *, tolerance=1e-5):
    """Compare with `by_loops`; the tolerance is relative to the sum of sizes."""
    zeros, *totals = kernel.class_sums(features, labels, n_classes)
    expected_zeros, *expected = by_loops(features, labels, n_classes)
    assert zeros.tolist() == expected_zeros
    _, *sizes = by_loops(features.double().abs(), labels, n_classes)
    for got, want, size in zip(totals, expected, sizes, strict=True):
        assert got.dtype == torch.float64
        assert (np.abs(got.numpy() - want) <= tolerance * size).all()


@st.composite
def problems(draw, dtype=torch.float32):
    n_classes, n_features = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    n_samples = draw(st.integers(0, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    features = torch.randn(n_samples, n_features, generator=generator).double()
    features *= 10 ** (6 * torch.rand(n_samples, 1, generator=generator) - 3).double()
    features[torch.rand(n_samples, generator=generator) < 0.1] = 0
    labels = torch.randint(n_classes, (n_samples,), generator=generator)
    return features.to(dtype), labels, n_classes


@given(problems())
def test_sums_match_loops(problem):
    assert_sums_match(*problem)


@given(problems(torch.float64))
def test_float64_sums_match_loops_closely(problem):
    assert_sums_match(*problem, tolerance=1e-13)


@given(problems(), st.integers(1, 20), st.integers(1, 5), st.integers(1, 4))
def test_small_windows_and_bags_change_nothing(problem, window, bag, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_WINDOW_NUMBERS", window)
        patch.setattr(kernel, "_BAG_ROWS", bag)
        patch.setattr(kernel, "_BAGS_AT_ONCE", at_once)
        assert_sums_match(*problem)


@pytest.mark.parametrize("n_rows", [1, 127, 128, 129, 256, 257])
def test_bags_end_exactly_at_their_size(n_rows):
    features = torch.arange(1.0, n_rows + 1)[:, None].repeat(1, 2)
    labels = torch.zeros(n_rows, dtype=torch.int64)
    _, sums, unit_sums = kernel.class_sums(features, labels, 1)
    assert sums.tolist() == [[n_rows * (n_rows + 1) / 2] * 2]
    # Rows of a bag are added in float32.
    expected = torch.full((1, 2), n_rows / math.sqrt(2))
    torch.testing.assert_close(unit_sums.float(), expected)


def test_more_bags_than_are_added_at_once():
    n_classes = 3 * 64 + 1
    labels = torch.arange(n_classes).flip(0).repeat(2)
    features = labels[:, None].float() + 1
    _, sums, unit_sums = kernel.class_sums(features, labels, n_classes)
    assert sums.flatten().tolist() == [2.0 * c + 2 for c in range(n_classes)]
    torch.testing.assert_close(unit_sums, torch.full((n_classes, 1), 2.0).double())


def test_large_classes_do_not_lose_small_rows():
    # One running float32 sum of these rows would be off by about 1e-4.
    features = torch.full((100_000, 1), 0.1)
    labels = torch.zeros(100_000, dtype=torch.int64)
    _, sums, _ = kernel.class_sums(features, labels, 1)
    expected = 100_000 * float(torch.tensor(0.1))
    assert sums.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int64,
    ],
)
def test_every_dtype_matches_loops(dtype, small, monkeypatch):
    for name, value in SMALL.items() if small else ():
        monkeypatch.setattr(kernel, name, value)
    generator = torch.Generator().manual_seed(1)
    low = 0 if dtype == torch.uint8 else -100
    features = torch.randint(low, 120, (60, 4), generator=generator).to(dtype)
    features[[3, 40]] = 0
    labels = torch.randint(7, (60,), generator=generator)
    assert_sums_match(features, labels, 7)


def test_half_precision_rows_are_not_added_in_half_precision():
    features = torch.full((10, 2), 60_000.0, dtype=torch.float16)
    labels = torch.zeros(10, dtype=torch.int64)
    _, sums, unit_sums = kernel.class_sums(features, labels, 1)
    expected = 10 * float(features[0, 0])
    assert sums.tolist() == [[expected, expected]]
    torch.testing.assert_close(unit_sums.float(), torch.full((1, 2), 50**0.5))


def test_integers_beyond_float32_are_exact():
    features = torch.tensor([[2**24 + 1], [2**40 + 1], [2**52 + 1]])
    _, sums, _ = kernel.class_sums(features, torch.tensor([0, 0, 1]), 2)
    assert sums.tolist() == [[2**40 + 2**24 + 2], [2**52 + 1]]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize(
    ("dtype", "sizes"),
    [
        (torch.float32, [1e-44, 1e-38, 1e-30, 1e-18, 1.0, 1e18, 1e30, 1e38]),
        (torch.float64, [1e-310, 1e-200, 1e-30, 1.0, 1e30, 1e200, 1e307]),
        (torch.float16, [6e-8, 1e-4, 1.0, 6e4]),
        (torch.bfloat16, [1e-30, 1.0, 1e30]),
    ],
)
def test_unit_sums_do_not_depend_on_extreme_norms(dtype, sizes, small, monkeypatch):
    for name, value in SMALL.items() if small else ():
        monkeypatch.setattr(kernel, name, value)
    signs = torch.tensor([[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -1.0]]).double()
    rows = torch.cat([signs * size for size in sizes]).to(dtype)
    labels = torch.tensor([0, 1]).repeat(len(sizes))
    zeros, _, unit_sums = kernel.class_sums(rows, labels, 2)
    assert zeros.tolist() == [0, 0]
    torch.testing.assert_close(unit_sums, len(sizes) / 2 * signs)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_sums_keep_extreme_rows(size):
    features = torch.tensor([[size, 2 * size], [size, -size], [1.0, 1.0]])
    _, sums, _ = kernel.class_sums(features, torch.tensor([1, 1, 0]), 2)
    expected = [[1, 1], [2 * size, size]]
    torch.testing.assert_close(
        sums, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.T.contiguous().T,
        lambda x: x.repeat_interleave(2, dim=1)[:, ::2],
        lambda x: x.repeat_interleave(3, dim=0)[::3],
        lambda x: x[:1].expand(30, -1),
    ],
)
def test_layout_in_memory_changes_nothing(layout):
    generator = torch.Generator().manual_seed(2)
    features = layout(torch.randn(30, 4, generator=generator))
    labels = torch.randint(3, (30,), generator=generator)
    expected = kernel.class_sums(features.contiguous(), labels, 3)
    for got, want in zip(kernel.class_sums(features, labels, 3), expected, strict=True):
        torch.testing.assert_close(got, want)


def test_classes_without_rows_are_zero():
    zeros, sums, unit_sums = kernel.class_sums(
        torch.ones(2, 3), torch.tensor([1, 1]), 4
    )
    assert zeros.tolist() == [0] * 4
    assert sums.tolist() == [[0.0] * 3, [2.0] * 3, [0.0] * 3, [0.0] * 3]
    assert not unit_sums[[0, 2, 3]].any()


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_counted_and_numbered(
    value, dtype, small, monkeypatch
):
    for name, constant in SMALL.items() if small else ():
        monkeypatch.setattr(kernel, name, constant)
    features = torch.ones(20, 3, dtype=dtype)
    features[[2, 7, 18], [0, 1, 2]] = value
    labels = torch.arange(20) % 4
    with pytest.raises(ValueError, match=r"3 rows hold .* \(rows \[2, 7, 18\]\)"):
        kernel.class_sums(features, labels, 4)


def test_many_rows_that_are_not_finite_are_summed_up():
    features = torch.full((9000, 1), math.nan)
    with pytest.raises(ValueError, match=r"9000 rows .*\[0, 1, 2, 3, 4, … 8995 more"):
        kernel.class_sums(features, torch.zeros(9000, dtype=torch.int64), 1)
