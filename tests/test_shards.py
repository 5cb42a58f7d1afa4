"""Rows in shards read like one array, and like one tensor."""

import copy
import pickle
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from headtail.shards import ShardedArray
from headtail.tensors import ShardedRows, as_tensor, fingerprint, row_windows, unit

LENGTHS = [4, 0, 5, 1]
WHOLE = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
TENSOR = torch.from_numpy(WHOLE)


def sharded(parts=None, dtype=np.float32, opened=None):
    parts = np.split(WHOLE, np.cumsum(LENGTHS)[:-1]) if parts is None else parts

    def opener(number):
        def read():
            if opened is not None:
                opened.append(number)
            return parts[number]

        return read

    openers = [opener(number) for number in range(len(parts))]
    return ShardedArray(openers, [len(part) for part in parts], 3, dtype)


INDICES = [
    slice(None),
    slice(2, 6),
    slice(4, 9),
    slice(4, 4),
    slice(8, 3),
    slice(5, 99),
    slice(-3, None),
    slice(None, None, 3),
    slice(7, 1, -2),
    [9, 0, 0, 4],
    [-1, 3],
    [],
    np.array([8, 2], dtype=np.uint8),
    6,
    -10,
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_rows_are_those_of_the_whole(index):
    expected = WHOLE[index]
    result = sharded()[index]
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@given(st.lists(st.integers(-10, 9), max_size=30))
def test_any_indices(rows):
    np.testing.assert_array_equal(sharded()[rows], WHOLE[np.array(rows, dtype=int)])


@given(st.lists(st.booleans(), min_size=10, max_size=10))
def test_a_mask_reads_nothing(mask):
    opened = []
    some = sharded(opened=opened)[np.array(mask)]
    assert opened == []
    assert some.shape == (sum(mask), 3)
    np.testing.assert_array_equal(np.asarray(some), WHOLE[np.array(mask)])
    assert fingerprint(some) == fingerprint(WHOLE[np.array(mask)])


def test_only_what_is_needed_is_opened():
    opened = []
    array = sharded(opened=opened)
    assert (len(array), array.shape, array.ndim, array.nbytes) == (10, (10, 3), 2, 120)
    assert opened == []
    array[[8, 7]]
    array[4:6]
    assert opened == [2]


def test_a_slice_of_one_shard_is_not_copied():
    assert np.shares_memory(sharded()[5:8], WHOLE)
    assert not np.shares_memory(sharded()[3:8], WHOLE)


def test_few_shards_stay_open():
    alive = []

    class Rows(np.ndarray):
        pass

    def opener(number):
        def read():
            rows = np.full((2**16, 1), number, dtype=np.float32).view(Rows)
            alive.append(weakref.ref(rows))
            return rows

        return read

    array = ShardedArray([opener(i) for i in range(9)], [2**16] * 9, 1, np.float32)
    assert array.shards_per_window == 4
    for number in range(9):
        assert array[2**16 * number].item() == number
        assert sum(one() is not None for one in alive) == min(number + 1, 5)


def test_small_shards_make_wide_windows():
    array = ShardedArray([None] * 100, [1000] * 100, 1, np.float32)
    assert array.shards_per_window == 66


def test_tiny_shards_do_not_take_all_open_files():
    array = ShardedArray([None] * 5000, [10] * 5000, 1, np.float32)
    assert array.shards_per_window == 256


COLUMNS = [
    (1, 0),
    (-1, ...),
    (slice(None), 0),
    (slice(2, 6), slice(1, None)),
    ([9, 0], ...),
    ([9, 0], slice(None, 2)),
    (np.arange(10) > 3, 1),
    (np.arange(10) > 3, ...),
]


@pytest.mark.parametrize("index", COLUMNS, ids=str)
def test_columns_are_those_of_the_whole(index):
    np.testing.assert_array_equal(np.asarray(sharded()[index]), WHOLE[index])


def test_scikit_learn_cuts_it_into_folds():
    labels = np.arange(10) % 2
    parts = train_test_split(sharded(), labels, random_state=0)
    expected = train_test_split(WHOLE, labels, random_state=0)
    for part, other in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, other)


def test_a_mask_holds_no_more_rows_than_are_asked_for():
    read = []

    class Rows:
        shape = WHOLE.shape

        def __getitem__(self, rows):
            read.append(len(WHOLE[rows]))
            return WHOLE[rows]

    array = ShardedArray([Rows], [10], 3, np.float32)
    some = array[np.arange(10) > 1][np.arange(8) > 1]
    np.testing.assert_array_equal(some[1:3], WHOLE[5:7])
    np.testing.assert_array_equal(some[[5, 0]], WHOLE[[9, 4]])
    assert read == [2, 2]


def test_types_of_shards_are_brought_together():
    parts = [WHOLE[:4].astype(np.float16), WHOLE[4:].astype(np.float64)]
    array = sharded(parts, dtype=np.float64)
    assert array[:2].dtype == array[[1, 7]].dtype == np.float64
    np.testing.assert_array_equal(array[:4], parts[0])


def test_a_shard_that_has_shrunk_is_refused():
    parts = [WHOLE[:4], WHOLE[4:]]
    array = sharded(parts)
    parts[1] = WHOLE[5:]
    np.testing.assert_array_equal(array[:4], WHOLE[:4])
    with pytest.raises(ValueError, match=r"Shard 1 must still have shape \[6, 3\]; it"):
        array[5]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ([10], IndexError, r"0 … 9\."),
        ([-11], IndexError, r"0 … 9\."),
        ([True] * 9, TypeError, r"mask of 10; got bool of shape \[9\]"),
        ([0.0], TypeError, "float64"),
        ((0, [1]), TypeError, "slices or an integer"),
        ([[0]], TypeError, r"shape \[1, 1\]"),
    ],
)
def test_other_indices_are_refused(index, error, message):
    with pytest.raises(error, match=message):
        sharded()[index]


def test_no_view_of_all_rows():
    with pytest.raises(ValueError, match="must be copied"):
        np.asarray(sharded(), copy=False)


def test_as_a_tensor():
    opened = []
    rows = as_tensor(sharded(opened=opened))
    assert isinstance(rows, ShardedRows)
    assert rows.shape == (10, 3)
    assert (len(rows), rows.ndim, rows.dtype) == (10, 2, torch.float32)
    assert rows.device.type == "cpu"
    assert rows.detach() is rows
    assert as_tensor(rows) is rows
    assert rows.is_floating_point()
    assert not rows.is_complex()
    assert "n_shards=4" in repr(rows)
    assert opened == []


@pytest.mark.parametrize("index", [slice(2, 6), [9, 0, 0], torch.tensor([8, 1]), -1])
def test_a_tensor_of_rows(index):
    rows = as_tensor(sharded())[index]
    assert type(rows) is torch.Tensor
    assert torch.equal(rows, TENSOR[index])


def test_a_mask_of_a_tensor_reads_nothing():
    opened = []
    mask = torch.arange(10) % 3 > 0
    some = as_tensor(sharded(opened=opened))[mask]
    assert isinstance(some, ShardedRows)
    assert opened == []
    assert torch.equal(some[:], TENSOR[mask])


@pytest.mark.parametrize(
    "operation",
    [
        lambda rows: rows.double().sum(dim=0),
        lambda rows: torch.cat([rows, rows]),
        lambda rows: rows + 1,
        lambda rows: torch.ones(2, 10) @ rows,
        lambda rows: torch.nn.functional.linear(rows, torch.ones(2, 3)),
        lambda rows: torch.from_numpy(rows.numpy()),
        lambda rows: torch.from_numpy(np.asarray(rows)),
        unit,
    ],
)
def test_other_operations_read_all(operation):
    result = operation(as_tensor(sharded()))
    assert not isinstance(result, ShardedRows)
    assert torch.equal(result, operation(TENSOR))


ANY_INDEX = [
    (1, 0),
    ...,
    None,
    (slice(1, 3), 1),
    (torch.tensor([0, 1]), torch.tensor([1, 2])),
    torch.tensor([[0, 1], [2, 3]]),
    TENSOR > 0,
]


@pytest.mark.parametrize("index", ANY_INDEX, ids=str)
def test_a_tensor_takes_every_index(index):
    assert torch.equal(as_tensor(sharded())[index], TENSOR[index])


@pytest.mark.parametrize(
    "write",
    [
        lambda rows: rows.add_(1),
        lambda rows: rows.__setitem__(0, 0.0),
        lambda rows: rows.copy_(TENSOR),
        lambda rows: torch.mul(TENSOR, 2, out=rows),
    ],
)
def test_a_tensor_of_rows_is_not_written_to(write):
    with pytest.raises(TypeError, match=r"read alone. Copy them first"):
        write(as_tensor(sharded()))
    assert torch.equal(torch.zeros(10, 3).copy_(as_tensor(sharded())), TENSOR)


@pytest.mark.parametrize("same", [copy.copy, copy.deepcopy, lambda rows: rows.data])
def test_a_copy_still_reads(same):
    assert torch.equal(same(as_tensor(sharded()))[2:6], TENSOR[2:6])


def test_windows_lie_in_one_shard():
    rows = as_tensor(sharded())
    cuts = [(one.start, one.stop) for one in row_windows(rows, 9)]
    assert cuts == [(0, 3), (3, 4), (4, 7), (7, 9), (9, 10)]
    plain = [(one.start, one.stop) for one in row_windows(TENSOR, 9)]
    assert plain == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_the_fingerprint_is_that_of_the_whole():
    assert fingerprint(sharded()) == fingerprint(WHOLE)
    assert fingerprint(sharded()) != fingerprint(WHOLE[::-1])


def test_it_can_be_sent_to_another_process(tmp_path):
    np.save(tmp_path / "a.npy", WHOLE)
    array = ShardedArray([Saved(tmp_path / "a.npy")], [10], 3, np.float32)
    array[0]
    again = pickle.loads(pickle.dumps(array))  # our own object, between processes
    np.testing.assert_array_equal(again[:], WHOLE)


class Saved:
    def __init__(self, path):
        self.path = path

    def __call__(self):
        return np.load(self.path, allow_pickle=False)
