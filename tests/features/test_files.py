import pickle
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from headtail.features import FeatureSet
from headtail.features import files as feature_files

SUFFIXES = [".npz", ".safetensors", ".parquet", ""]
X = np.arange(1, 13, dtype=np.float32).reshape(4, 3) / 7
Y = np.array([2, 0, 2, 1])
NAMES = ("ox", "größe", "cat")
NPY = (
    b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"
)
NPY = NPY.ljust(79) + b"\n" + b"\0" * 8


def write(path, **arrays):
    """Write a file as another program would."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file(arrays, path)
    else:
        columns = {"label" if k == "labels" else k: v for k, v in arrays.items()}
        pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), path)
    return path


def assert_equal(first, second):
    assert first.features.tolist() == second.features.tolist()
    assert first.class_names == second.class_names
    assert (first.labels is None) == (second.labels is None)
    assert first.labels is None or first.labels.tolist() == second.labels.tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i1", "i4"])
@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize("labels", [None, Y])
def test_set_survives_a_round_trip(tmp_path, suffix, dtype, names, labels):
    data = FeatureSet((X * 7).astype(dtype), labels, names)
    data.save(tmp_path / f"data{suffix}")
    loaded = FeatureSet.load(tmp_path / f"data{suffix}")
    assert loaded.features.dtype == np.dtype(dtype)
    assert_equal(loaded, data)
    assert [path.name for path in tmp_path.iterdir()] == [f"data{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda x: x[::-1], lambda x: x[::2, 1:]]
)
def test_any_layout_in_memory_survives_a_round_trip(tmp_path, suffix, layout):
    data = FeatureSet(layout(X), None)
    data.save(tmp_path / f"data{suffix}")
    assert_equal(FeatureSet.load(tmp_path / f"data{suffix}"), data)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_set_gives_the_same_bytes(tmp_path, suffix):
    data = FeatureSet(X, Y, NAMES)
    for name in ("first", "second"):
        data.save(tmp_path / f"{name}{suffix}")
    files = [file for file in sorted(tmp_path.rglob("*")) if file.is_file()]
    first, second = (file.read_bytes() for file in files)
    assert first == second


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8", "u1"])
def test_npz_without_compression_is_mapped(tmp_path, order, dtype):
    features = np.asarray((X * 7).astype(dtype), order=order)
    path = write(tmp_path / "data.npz", labels=Y, features=features)
    data = FeatureSet.load(path)
    assert isinstance(data.features, np.memmap)
    assert not data.features.flags.writeable
    assert data.features.tolist() == features.tolist()
    assert data.labels.tolist() == Y.tolist()


def test_npz_with_padded_headers_is_mapped(tmp_path):
    # A field in the header of the member moves the data, as alignment tools do.
    np.save(tmp_path / "features.npy", X)
    info = zipfile.ZipInfo("features.npy")
    info.extra = struct.pack("<HH", 0x4848, 60) + b"\0" * 60
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr(info, (tmp_path / "features.npy").read_bytes())
    data = FeatureSet.load(tmp_path / "data.npz")
    assert isinstance(data.features, np.memmap)
    assert data.features.tolist() == X.tolist()


def test_compressed_npz_is_read_into_memory(tmp_path):
    np.savez_compressed(tmp_path / "data.npz", features=X, labels=Y)
    data = FeatureSet.load(tmp_path / "data.npz")
    assert not isinstance(data.features, np.memmap)
    assert data.features.tolist() == X.tolist()


def test_mapped_features_can_be_saved_over_their_own_file(tmp_path):
    FeatureSet(X, Y, NAMES).save(tmp_path / "data.npz")
    FeatureSet.load(tmp_path / "data.npz").save(tmp_path / "data.npz")
    assert_equal(FeatureSet.load(tmp_path / "data.npz"), FeatureSet(X, Y, NAMES))


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5])
def test_folder_of_shards_keeps_the_order_of_rows(tmp_path, monkeypatch, n_rows):
    monkeypatch.setattr(feature_files, "_SHARD_ROWS", n_rows)
    FeatureSet(X, Y, NAMES).save(tmp_path / "shards")
    assert len(list((tmp_path / "shards").iterdir())) == -(-4 // n_rows)
    assert_equal(FeatureSet.load(tmp_path / "shards"), FeatureSet(X, Y, NAMES))


def test_shards_may_have_several_formats(tmp_path):
    FeatureSet(X[:1], Y[:1], NAMES).save(tmp_path / "a.parquet")
    FeatureSet(X[1:3], Y[1:3], NAMES).save(tmp_path / "b.npz")
    FeatureSet(X[3:], Y[3:], NAMES).save(tmp_path / "c.safetensors")
    (tmp_path / "README.txt").write_text("not a shard")
    assert_equal(FeatureSet.load(tmp_path), FeatureSet(X, Y, NAMES))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(("dtype", "zero"), [("u1", 128), ("i1", -3), ("u1", 0.5)])
def test_8_bit_features_are_scaled_back(tmp_path, suffix, dtype, zero):
    info = np.iinfo(dtype)
    q = np.array([[info.min, info.max], [1, 7]], dtype=dtype)
    scalars = {"scale": np.array(0.25), "zero_point": np.array([zero], np.float32)}
    data = FeatureSet.load(write(tmp_path / f"d{suffix}", features=q, **scalars))
    assert data.features.dtype == np.float32
    expected = [[(int(value) - zero) * 0.25 for value in row] for row in q]
    assert data.features.tolist() == expected


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_text_labels_become_names(tmp_path, suffix):
    labels = np.array(["ox", "cat", "ox", "lynx"])
    data = FeatureSet.load(write(tmp_path / f"d{suffix}", features=X, labels=labels))
    assert data.class_names == ("cat", "lynx", "ox")
    assert data.labels.tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_of_zeros_are_reported_with_their_number(tmp_path, suffix):
    features = X.copy()
    features[[0, 3]] = 0
    FeatureSet(features, Y).save(tmp_path / f"data{suffix}")
    with pytest.warns(UserWarning, match=rf"2 of 4 rows in .*data{suffix} are all"):
        FeatureSet.load(tmp_path / f"data{suffix}")


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_truncated_file_is_named(tmp_path, suffix, share):
    path = tmp_path / f"cut{suffix}"
    FeatureSet(np.tile(X, (50, 1)), np.tile(Y, 50), NAMES).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=rf"cut\{suffix} must be a whole"):
        FeatureSet.load(path)


@pytest.mark.parametrize("suffix", SUFFIXES[:3])
@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n" * 50, pickle.dumps([X, Y]), NPY])
def test_foreign_file_is_named(tmp_path, suffix, data):
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"odd\{suffix} must be a whole"):
        FeatureSet.load(path)


PARQUET = {"features": [[1.0], [2.0]], "label": [0, 1]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, 1]}, "list column 'features'"),
        (PARQUET | {"features": [[1.0], [2.0, 3.0]]}, r"lengths are \['1', '2'\]"),
        (PARQUET | {"features": [[1.0], None]}, "of one length"),
        (PARQUET | {"features": [[1.0], [None]]}, "nulls in 'features'"),
        (PARQUET | {"label": [0, None]}, "nulls in 'label'"),
    ],
)
def test_parquet_of_another_form_is_named(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "odd.parquet")
    with pytest.raises(ValueError, match=rf"odd\.parquet must .*{message}"):
        FeatureSet.load(tmp_path / "odd.parquet")


Q = np.ones((2, 2), dtype=np.uint8)
ONE = np.array(1.0)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": Y}, r"it holds \['labels'\]"),
        ({"features": Q, "scale": ONE}, "8-bit features"),
        ({"features": X, "scale": ONE, "zero_point": ONE}, "8-bit features"),
        ({"features": Q[0], "scale": ONE, "zero_point": ONE}, "8-bit features"),
        ({"features": Q, "scale": np.ones(2), "zero_point": ONE}, "one number each"),
    ],
)
def test_arrays_of_another_form_are_named(tmp_path, suffix, arrays, message):
    path = write(tmp_path / f"odd{suffix}", **arrays)
    with pytest.raises(ValueError, match=rf"odd\{suffix} must hold.*{message}"):
        FeatureSet.load(path)


@pytest.mark.parametrize("name", ["features", "labels", "class_names"])
def test_pickled_arrays_are_named_and_not_loaded(tmp_path, name):
    arrays = {"features": X, "labels": Y} | {name: np.array([{}] * 4, dtype=object)}
    path = write(tmp_path / "odd.npz", **arrays)
    with pytest.raises(ValueError, match=r"odd\.npz .*without pickled objects"):
        FeatureSet.load(path)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (FeatureSet(X, Y, NAMES[::-1]), "the class names of a.npz"),
        (FeatureSet(X, Y), "the class names of a.npz"),
        (FeatureSet(X[:, :2], Y, NAMES), "have 2 and 3 columns"),
        (FeatureSet(X, None, NAMES), "labels exactly if a.npz has them"),
    ],
)
def test_shard_that_does_not_fit_is_named(tmp_path, second, message):
    FeatureSet(X, Y, NAMES).save(tmp_path / "a.npz")
    second.save(tmp_path / "b.npz")
    with pytest.raises(ValueError, match=rf"b\.npz must have .*{message}"):
        FeatureSet.load(tmp_path)


def test_failure_leaves_the_old_file(tmp_path, monkeypatch):
    FeatureSet(X, Y).save(tmp_path / "data.parquet")
    before = (tmp_path / "data.parquet").read_bytes()
    monkeypatch.setattr(pq, "write_table", lambda table, path: path.mkdir() or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        FeatureSet(X, None).save(tmp_path / "data.parquet")
    assert (tmp_path / "data.parquet").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
