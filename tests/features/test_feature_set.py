import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.features import FeatureSet

LABELS = st.lists(st.sampled_from([0, 0, 0, 0, 1, 1, 2, 7]), min_size=1, max_size=60)


def numbered(labels, names=None):
    """Features whose only entry is the number of the row, counted from 1."""
    rows = np.arange(1, len(labels) + 1, dtype=np.float32)
    return FeatureSet(rows[:, None], labels, names)


def test_features_are_not_copied():
    features = np.ones((2, 3))
    assert FeatureSet(features, None).features is features
    tensor = torch.ones(2, 3, requires_grad=True)
    assert FeatureSet(tensor, None).features.ctypes.data == tensor.data_ptr()


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.uint8, np.int8, np.int64, ">f4"]
)
def test_features_keep_their_dtype(dtype):
    features = np.array([[1, 2], [3, 4]]).astype(dtype)
    data = FeatureSet(features, [0, 1])
    assert data.features.dtype == np.dtype(dtype)
    assert data.features.tolist() == [[1, 2], [3, 4]]


def test_bfloat16_becomes_float32():
    data = FeatureSet(torch.tensor([[1.5, 3.0]], dtype=torch.bfloat16), None)
    assert data.features.dtype == np.float32
    assert data.features.tolist() == [[1.5, 3.0]]


def test_read_only_features_give_no_warning(tmp_path):
    features = np.arange(6.0).reshape(2, 3)
    features.flags.writeable = False
    np.save(tmp_path / "x.npy", features)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for array in (features, mapped):
            data = FeatureSet(array, [0, 1])
            data.subset([1])
            assert data.features is array
    assert caught == []


def test_set_knows_its_sizes():
    data = FeatureSet(np.ones((2, 3)), [0, 4])
    assert len(data) == 2
    assert repr(data) == "FeatureSet(n_samples=2, n_features=3)"
    assert data.labels.tolist() == [0, 4]
    assert data.class_names is None
    assert data.zero_rows == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_become_int64(dtype):
    labels = np.array([3, 0], dtype=dtype)
    for given_labels in (labels, torch.from_numpy(labels.astype(np.int32))):
        data = FeatureSet(np.ones((2, 1)), given_labels)
        assert data.labels.dtype == np.int64
        assert data.labels.tolist() == [3, 0]


@pytest.mark.parametrize("dtype", [str, object])
def test_text_labels_become_sorted_names(dtype):
    data = numbered(np.array(["ox", "cat", "ox", "lynx"], dtype=dtype))
    assert data.class_names == ("cat", "lynx", "ox")
    assert data.labels.tolist() == [2, 0, 2, 1]


@given(st.lists(st.sampled_from(["ox", "cat", "lynx", "ß"]), max_size=20))
def test_text_labels_are_found_among_the_names(labels):
    names = ("ox", "ß", "aurochs", "lynx", "cat")
    data = numbered(np.array(labels, dtype=str), names)
    assert data.class_names == names
    assert [names[label] for label in data.labels] == labels


def test_set_without_labels_has_no_targets():
    data = FeatureSet(np.ones((2, 1)), None, ["a"])
    assert data.labels is None
    assert data.class_names == ("a",)
    with pytest.raises(ValueError, match="have no labels"):
        _ = data.targets


def test_zero_rows_are_counted():
    features = np.array([[0.0, 0.0], [0.0, 1e-30], [-0.0, 0.0], [1.0, -1.0]])
    assert FeatureSet(features, None).zero_rows == 2


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([1.0, 2.0], r"float64 of shape \[2\]"),
        (np.ones((2, 2, 2)), r"float64 of shape \[2, 2, 2\]"),
        (np.ones((2, 2), dtype=complex), "complex128 of shape"),
        (np.ones((2, 2), dtype=bool), "bool of shape"),
        ([["a"]], "<U1 of shape"),
        (np.array([[None]]), "object of shape"),
    ],
)
def test_features_that_are_no_table_of_numbers_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        FeatureSet(features, None)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_numbered(value, dtype, monkeypatch):
    monkeypatch.setattr("headtail.features.feature_set._CHECKED_AT_ONCE", 6)
    features = np.ones((10, 3)).astype(dtype)
    features[[1, 8], [2, 0]] = value
    with pytest.raises(ValueError, match=r"2 rows hold NaN or inf \(rows \[1, 8\]\)"):
        FeatureSet(features, None)


@pytest.mark.parametrize(
    ("labels", "names", "error", "message"),
    [
        ([0], None, ValueError, r"features \(2\); got shape \[1\]"),
        ([[0, 1]], None, ValueError, r"features \(2\); got shape \[1, 2\]"),
        ([0.0, 1.0], None, TypeError, "integers or text; got float64"),
        ([True, False], None, TypeError, "integers or text; got bool"),
        ([None, "a"], None, TypeError, "integers or text; got object"),
        ([0, -3], None, ValueError, r"at least 0; got \[-3\]"),
        ([2, 5], ["a", "b"], ValueError, r"in 0 … 1; got \[2, 5\]"),
        (["c", "a"], ["a", "b"], ValueError, r"in class_names; got \['c'\]"),
        ([0, 1], ["a", "a"], ValueError, r"distinct; \['a'\] come twice"),
        ([0, 1], [1, 2], TypeError, "list of text; got int64"),
        ([0, 1], "ab", TypeError, r"list of text; got <U2 of shape \[\]"),
        ([0, 1], [["a", "b"]], TypeError, r"of shape \[1, 2\]"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, names, error, message):
    with pytest.raises(error, match=message):
        FeatureSet(np.ones((2, 1)), labels, names)


@pytest.mark.parametrize("rows", [[3, 0], np.array([True, False, False, True])])
def test_subset_takes_rows_by_index_or_mask(rows):
    data = numbered([0, 1, 2, 3], ["a", "b", "c", "d"])
    part = data.subset(rows)
    wanted = [3, 0] if isinstance(rows, list) else [0, 3]
    assert part.labels.tolist() == wanted
    assert part.features[:, 0].tolist() == [row + 1 for row in wanted]
    assert part.class_names == ("a", "b", "c", "d")


@given(LABELS, st.floats(0.01, 0.99), st.integers(0, 99))
def test_split_divides_every_class(labels, fraction, seed):
    first, second = numbered(labels).split(fraction, random_state=seed)
    rows = [int(row) - 1 for part in (first, second) for row in part.features[:, 0]]
    assert sorted(rows) == list(range(len(labels)))
    assert [labels[row] for row in rows] == [*first.labels, *second.labels]
    for label in set(labels):
        n, kept = labels.count(label), int((first.labels == label).sum())
        assert kept >= 1
        assert abs(n - kept - n * fraction) <= (0.5 if kept > 1 else 1) + 1e-9


@given(st.integers(1, 30), st.integers(0, 99))
def test_split_keeps_one_of_each_class_in_the_first_part(n_classes, seed):
    labels = [*range(n_classes), *range(n_classes // 2)]
    first, second = numbered(labels).split(0.99, random_state=seed)
    assert sorted(first.labels) == list(range(n_classes))
    assert sorted(second.labels) == list(range(n_classes // 2))


def test_split_keeps_the_order_of_rows_and_the_names():
    first, second = numbered([0, 1] * 20, ["a", "b"]).split(0.3, random_state=0)
    for part in (first, second):
        assert (np.diff(part.features[:, 0]) > 0).all()
        assert part.class_names == ("a", "b")


def test_split_depends_on_the_seed_alone():
    data = numbered([0, 1, 2] * 30)
    first, again, other = (
        data.split(0.5, random_state=seed)[1].features.tolist() for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_split_refuses_a_share_that_is_none(fraction):
    with pytest.raises(ValueError, match=f"between 0 and 1; got {fraction}"):
        numbered([0, 1]).split(fraction)


def test_split_needs_labels():
    with pytest.raises(ValueError, match="labels are needed here"):
        FeatureSet(np.ones((2, 1)), None).split(0.5)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"labels": [0, 1, 1]}, ValueError, r"got shape \[3\]"),
        ({"labels": [0, -1]}, ValueError, r"at least 0; got \[-1\]"),
        ({"labels": [0.5, 1.0]}, TypeError, "integers or text"),
        ({"labels": [0, 2], "class_names": ["a", "b"]}, ValueError, r"got \[2\]"),
        ({"labels": [0, 1], "class_names": ["a", "a"]}, ValueError, "come twice"),
        ({"labels": [0, 1], "class_names": [1, 2]}, TypeError, "list of text"),
    ],
)
def test_arrays_that_do_not_fit_name_the_file(tmp_path, arrays, error, message):
    np.savez(tmp_path / "odd.npz", features=np.ones((2, 3)), **arrays)
    with pytest.raises(error, match=rf"odd\.npz: .*{message}"):
        FeatureSet.load(tmp_path / "odd.npz")


@pytest.mark.parametrize("name", ["data.csv", "data.NPZ", "data.npz.bak"])
def test_unknown_suffix_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"{name} must end in one of"):
        FeatureSet.load(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} must end in one of"):
        numbered([0, 1]).save(tmp_path / name)


def test_missing_files_and_folders_without_shards_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz does not exist"):
        FeatureSet.load(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="holds no shard"):
        FeatureSet.load(tmp_path)


def test_folder_that_holds_something_is_never_replaced(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(FileExistsError, match="holds something already"):
        numbered([0, 1]).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
