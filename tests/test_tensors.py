import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headtail.tensors import as_tensor, fingerprint, row_blocks, shown, unit

VECTORS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
)


def test_as_tensor_shares_the_memory_of_an_array():
    array = np.zeros((2, 3), dtype=np.float32)
    tensor = as_tensor(array)
    array[1, 2] = 5
    assert tensor.dtype == torch.float32
    assert tensor[1, 2] == 5


def test_as_tensor_shares_a_read_only_array():
    array = np.arange(6.0).reshape(2, 3)
    array.flags.writeable = False
    tensor = as_tensor(array)
    assert tensor.data_ptr() == array.ctypes.data
    assert tensor.tolist() == array.tolist()


def test_as_tensor_takes_a_memory_map(tmp_path):
    values = np.arange(12, dtype=np.float16).reshape(4, 3)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    assert as_tensor(mapped).tolist() == values.tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-2],
        lambda a: a[::2, 1:],
        lambda a: a.T,
        lambda a: a.astype(">f4"),
        lambda a: a.astype(">i2"),
        lambda a: a.tolist(),
    ],
)
@pytest.mark.parametrize("writeable", [True, False])
def test_as_tensor_keeps_values_of_any_layout(change, writeable):
    array = change(np.arange(20.0).reshape(4, 5))
    expected = np.asarray(array).tolist()
    if isinstance(array, np.ndarray):
        array.flags.writeable = writeable
    assert as_tensor(array).tolist() == expected


def test_as_tensor_detaches_a_tensor():
    tensor = torch.ones(3, requires_grad=True)
    result = as_tensor(tensor)
    assert not result.requires_grad
    assert result.data_ptr() == tensor.data_ptr()


@given(VECTORS)
def test_unit_matches_hypot(array):
    expected = [
        [x / math.hypot(*row) if any(row) else 0.0 for x in row]
        for row in array.tolist()
    ]
    torch.testing.assert_close(
        unit(torch.from_numpy(array)), torch.tensor(expected, dtype=torch.float64)
    )


@given(VECTORS, st.integers(-60, 60))
def test_unit_ignores_powers_of_two_exactly(array, exponent):
    vectors = torch.from_numpy(array)
    assert torch.equal(unit(vectors * 2.0**exponent), unit(vectors))


@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-30, 1e-20, 1.0, 1e20, 1e30, 1e38])
def test_unit_keeps_direction_of_extreme_float32(size):
    result = unit(torch.tensor([[size, -size, size, size]]))
    torch.testing.assert_close(result, torch.tensor([[0.5, -0.5, 0.5, 0.5]]))


def test_unit_keeps_direction_of_extreme_float16():
    vectors = torch.tensor([[60000.0] * 4, [6e-8] * 4], dtype=torch.float16)
    assert unit(vectors).tolist() == [[0.5] * 4] * 2


def test_unit_leaves_zero_vectors_zero():
    assert unit(torch.zeros(2, 3)).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 2, 4)])
def test_unit_works_on_the_last_axis(shape):
    vectors = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = unit(vectors)
    assert result.shape == shape
    torch.testing.assert_close(result.square().sum(-1), torch.ones(shape[:-1]))


def test_unit_does_not_change_its_input():
    vectors = torch.tensor([[3.0, 4.0]])
    unit(vectors)
    assert vectors.tolist() == [[3.0, 4.0]]


@given(st.integers(0, 50), st.integers(0, 9), st.integers(1, 40))
def test_row_blocks_cover_every_row_once_within_budget(n_rows, row_size, budget):
    blocks = list(row_blocks(n_rows, row_size, budget))
    covered = [row for block in blocks for row in range(n_rows)[block]]
    assert covered == list(range(n_rows))
    for block in blocks:
        n_block = block.stop - block.start
        assert n_block == 1 or n_block * row_size <= budget


def test_row_blocks_use_the_budget():
    assert list(row_blocks(5, 3, 7)) == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_shown_writes_numpy_scalars_as_plain_numbers():
    assert shown(np.array([1, 2])) == "[1, 2]"
    assert shown(np.array(["a"])) == "['a']"


def test_shown_stops_after_its_limit():
    assert shown([1, 2, 3, 4, 5]) == "[1, 2, 3, 4, 5]"
    assert shown([1, 2, 3, 4, 5, 6, 7]) == "[1, 2, 3, 4, 5, … 2 more]"
    assert shown([]) == "[]"


def test_fingerprint_tells_type_shape_and_content_but_not_memory_layout():
    array = np.arange(6.0).reshape(2, 3)
    assert fingerprint(array) == fingerprint(np.asfortranarray(array))
    others = [array.reshape(3, 2), array.astype(np.float32), array + 1, array[:1]]
    prints = {fingerprint(array), *(fingerprint(other) for other in others)}
    assert len(prints) == 5
    assert fingerprint(array, array) != fingerprint(array)
    assert fingerprint(array, array[:1]) != fingerprint(array[:1], array)


def test_fingerprint_takes_read_only_and_text_arrays_and_is_always_the_same():
    array = np.arange(6)
    array.flags.writeable = False
    assert fingerprint(array) == fingerprint(np.arange(6))
    assert fingerprint(np.array(["a", "b"])) != fingerprint(np.array(["b", "a"]))
    assert fingerprint(array) != fingerprint(array.view(np.float64))
    assert len(fingerprint(array)) == 16
