import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtail.features import overlap
from headtail.features.overlap import shared_rows


def drawn(n_rows, n_features=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_features))


def by_sets(train, test):
    known = {tuple(float(x) for x in row) for row in train}
    rows = [tuple(float(x) for x in row) for row in test]
    return sum(any(row) and row in known for row in rows)


small = st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), max_size=12)


@given(small, small)
def test_it_counts_what_sets_of_rows_count(train, test):
    train, test = (np.array(rows, float).reshape(-1, 3) for rows in (train, test))
    assert shared_rows(train, test) == by_sets(train, test)


@pytest.mark.parametrize("n_features", [1, 2, 3, 40])
def test_rows_of_any_length_are_found(n_features):
    train = drawn(50, n_features)
    test = np.r_[drawn(30, n_features, seed=1), train[10:17]]
    assert shared_rows(train, test) == 7
    assert shared_rows(train, test[:30]) == 0


def test_the_order_of_the_numbers_counts():
    train = np.array([[1.0, 2.0, 3.0]])
    assert shared_rows(train, train[:, ::-1]) == 0
    assert shared_rows(train, np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])) == 1


def test_every_repetition_in_the_test_rows_counts_once():
    train = drawn(5)
    assert shared_rows(np.r_[train, train], train[[0]]) == 1
    assert shared_rows(train, train[[0, 0, 1]]) == 3


def test_rows_of_zeros_do_not_count():
    train = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert shared_rows(train, np.array([[0.0, 0.0], [-0.0, 0.0], [1.0, 0.0]])) == 1


def test_minus_zero_is_zero():
    train = np.array([[0.0, 1.0, -0.0]])
    assert shared_rows(train, np.array([[-0.0, 1.0, 0.0]])) == 1


@pytest.mark.parametrize("train_type", ["f2", "f4", "f8", "u1", "i8", ">f4", ">f8"])
@pytest.mark.parametrize("test_type", ["f2", "f4", "f8", "u1", ">i2", ">f8"])
def test_types_may_differ(train_type, test_type):
    numbers = np.random.default_rng(0).integers(0, 200, size=(60, 5))
    train, test = numbers[:40].astype(train_type), numbers[25:].astype(test_type)
    assert shared_rows(train, test) == 15


@pytest.mark.parametrize("wide", ["f8", ">f8"])
def test_a_rounded_row_is_another_row(wide):
    train = drawn(20)
    rounded = train.astype("f4")
    assert shared_rows(train.astype(wide), rounded) == 0
    assert shared_rows(rounded.astype(wide), rounded) == 20
    assert shared_rows(rounded, train[:5].astype(wide)) == 0


def test_memory_order_strides_and_maps_change_nothing(tmp_path):
    train = drawn(40)
    test = np.r_[drawn(10, seed=1), train[:6]]
    assert shared_rows(np.asfortranarray(train), test) == 6
    assert shared_rows(train[::-1], np.asfortranarray(test)) == 6
    assert shared_rows(np.repeat(train, 2, axis=1)[:, ::2], test) == 6
    np.save(tmp_path / "train.npy", train)
    mapped = np.load(tmp_path / "train.npy", mmap_mode="r")
    test.setflags(write=False)
    assert shared_rows(mapped, test) == shared_rows(test, mapped) == 6


def test_inputs_stay_as_they_are():
    train, test = np.array([[-0.0, 1.0]]), np.array([[0.0, 1.0]])
    shared_rows(train, test)
    assert np.signbit(train[0, 0])
    assert not np.signbit(test[0, 0])


def test_nothing_is_shared_with_no_rows():
    assert shared_rows(np.empty((0, 3)), drawn(4, 3)) == 0
    assert shared_rows(drawn(4, 3), np.empty((0, 3))) == 0


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_near_duplicates_are_not_counted(dtype):
    train = drawn(3000, 6).astype(dtype)
    test = train.copy()
    column = np.random.default_rng(1).integers(6, size=len(test))
    one = np.arange(len(test)), column
    test[one] = np.nextafter(test[one], np.array(np.inf, dtype))
    assert shared_rows(train, test) == 0
    assert shared_rows(train, np.r_[test, train[:9]]) == 9


@pytest.mark.parametrize("numbers", [[-1, 1], [0, 1], [0, 0.5, 1, 2], [1, 2, 3]])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_few_short_numbers_are_told_apart(numbers, dtype):
    """As float64 they have but a few high bits that are not 0."""
    rng = np.random.default_rng(0)
    rows = rng.choice(np.array(numbers, dtype), size=(2**16, 30))
    train, test = rows.copy(), rows[::-1].copy()
    train[:, 0], test[:, 0] = numbers[:2]
    assert shared_rows(train, test) == 0


def test_blocks_of_rows_give_what_one_block_gives(monkeypatch):
    train, test = drawn(23), np.r_[drawn(5, seed=1), drawn(23)[3:12]]
    seen = []

    def four_rows(n_rows, row_size):
        seen.append((n_rows, row_size))
        return (slice(i, min(i + 4, n_rows)) for i in range(0, n_rows, 4))

    assert shared_rows(train, test) == 9
    monkeypatch.setattr(overlap, "row_blocks", four_rows)
    assert shared_rows(train, test) == 9
    assert seen[:2] == [(23, 7), (14, 7)]


def test_sets_of_different_widths_are_refused():
    with pytest.raises(ValueError, match=r"same number of features; got 3 and 2"):
        shared_rows(np.eye(3), np.eye(2))


def test_long_doubles_are_compared_by_their_values():
    rows = np.arange(6, dtype=np.longdouble).reshape(3, 2) + 0.5
    assert shared_rows(rows, rows.copy()) == 3
