"""What unpacks to far more than its file is refused before memory is taken for it."""

import gzip
import io
import json
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headtail import FeatureSet, load_head
from headtail.datasets import cifar, image_arrays, load_images, read_list
from headtail.files import check_unpacked
from headtail.labels import decode_labels

MIB = 2**20
LIMIT = 64 * MIB
ASKS = r"it would unpack to more than 64 MiB and 100 times its size"


# What they gave may be freed at any time later: they must still be there.
_KEPT = []


def memory(load, path):
    """Return bytes that a loader took at most, and what it said."""
    parts = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    _KEPT.append(parts)
    pa.set_memory_pool(parts)
    tracemalloc.start()
    try:
        load(path)
        told = "loaded"
    except (OSError, TypeError, ValueError) as error:
        told = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        pa.set_memory_pool(before)
    return peak + parts.max_memory(), told


def zeros(path, descr, shape, name="features", kind=zipfile.ZIP_DEFLATED):
    """Write an archive of zeros of any size in little memory."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    left = int(np.prod(shape)) * np.dtype(descr).itemsize
    with (
        zipfile.ZipFile(path, "w", kind) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as stream,
    ):
        length = struct.pack("<H", len(header) + 1)
        stream.write(b"\x93NUMPY\x01\x00" + length + header + b"\n")
        for start in range(0, left, MIB):
            stream.write(bytes(min(MIB, left - start)))
    return path


def packed(path, n_bytes, line=b"\n"):
    with gzip.open(path, "wb", compresslevel=6) as stream:
        for _ in range(n_bytes // MIB):
            stream.write(line * (MIB // len(line)))
        stream.write(line * (n_bytes % MIB // len(line)))
    return path


def test_the_bound_is_64_mib_and_100_times_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    check_unpacked(path, LIMIT + 100_000)
    with pytest.raises(ValueError, match=f"{ASKS}, 67,208,864 bytes"):
        check_unpacked(path, LIMIT + 100_001)


def test_arrays_are_unpacked_up_to_the_bound(tmp_path):
    # Some bytes are of the header; deflate makes the file a thousandth.
    inside = zeros(tmp_path / "a.npz", "|u1", (16, 4 * MIB))
    with pytest.warns(UserWarning, match="16 of 16 rows"):
        taken, told = memory(FeatureSet.load, inside)
    assert told.startswith("loaded")
    assert taken < 6 * LIMIT
    beyond = zeros(tmp_path / "b.npz", "|u1", (18, 4 * MIB))
    taken, told = memory(FeatureSet.load, beyond)
    assert "b.npz" in told
    assert "it would unpack" in told
    assert taken < LIMIT / 2


@pytest.mark.parametrize("name", ["features", "labels", "class_names", "scale"])
def test_bombs_of_arrays_are_refused(name, tmp_path):
    path = zeros(tmp_path / "a.npz", "|u1", (80 * MIB,), name)
    with pytest.raises(ValueError, match=rf"a\.npz .*{ASKS}"):
        FeatureSet.load(path)


def test_bombs_of_images_are_refused(tmp_path):
    path = zeros(tmp_path / "a.npz", "|u1", (80, 1024, 1024, 1), "images")
    with pytest.raises(ValueError, match=rf"a\.npz .*{ASKS}"):
        image_arrays(path)


def test_arrays_that_nobody_asked_for_are_not_unpacked(tmp_path):
    path = zeros(tmp_path / "a.npz", "|u1", (80 * MIB,), "other")
    with zipfile.ZipFile(path, "a") as archive:
        stream = io.BytesIO()
        np.save(stream, np.ones((2, 3)))
        archive.writestr("features.npy", stream.getvalue())
    assert len(FeatureSet.load(path)) == 2


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_numpy_does_not_write_is_refused(kind, tmp_path):
    path = zeros(tmp_path / "a.npz", "<f4", (2, 3), kind=kind)
    with pytest.raises(ValueError, match=r"a\.npz .*none of those that numpy writes"):
        FeatureSet.load(path)


@pytest.mark.parametrize("descr", ["<U0", "|V0", "|S0"])
def test_elements_without_bytes_are_refused(descr, tmp_path):
    path = zeros(tmp_path / "a.npz", descr, (10**12,), "class_names")
    with zipfile.ZipFile(path, "a") as archive:
        stream = io.BytesIO()
        np.save(stream, np.ones((2, 3)))
        archive.writestr("features.npy", stream.getvalue())
    with pytest.raises(ValueError, match=r"a\.npz .*does not fit its bytes"):
        FeatureSet.load(path)


@pytest.mark.parametrize("read", [read_list, load_images], ids=["list", "images"])
def test_bombs_of_lists_are_refused(read, tmp_path):
    path = packed(tmp_path / "a.txt.gz", 80 * MIB)
    with pytest.raises(ValueError, match=rf"a\.txt\.gz .*{ASKS}"):
        read(path)


def test_memory_of_a_packed_list_is_bounded(tmp_path):
    taken, told = memory(read_list, packed(tmp_path / "a.txt.gz", 80 * MIB))
    assert "it would unpack" in told
    assert taken < 4 * LIMIT


def test_a_label_of_seven_digits_takes_no_list_of_all_classes(tmp_path):
    (tmp_path / "x.jpg").touch()
    (tmp_path / "a.txt").write_text("x.jpg 9999999\n")
    with pytest.warns(UserWarning, match=r"a\.txt: classes \[0, 1, .* 9999994 more"):
        taken, _ = memory(load_images, tmp_path / "a.txt")
    assert taken < 4 * LIMIT


def columns(**values):
    return pa.table(values)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
def test_bombs_of_tables_are_refused(codec, tmp_path):
    path = tmp_path / "a.parquet"
    flat = pa.array(np.zeros(24 * MIB, np.float32))
    table = columns(features=pa.FixedSizeListArray.from_arrays(flat, 1024))
    pq.write_table(table, path, compression=codec)
    del table, flat
    assert path.stat().st_size < MIB / 8
    taken, told = memory(FeatureSet.load, path)
    assert "a.parquet" in told
    assert "it would unpack" in told
    assert taken < LIMIT


def test_text_labels_that_stand_for_millions_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    features = pa.FixedSizeListArray.from_arrays(np.ones(20_000, np.float32), 1)
    text = pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), ["a" * MIB])
    pq.write_table(columns(features=features, label=text), path)
    taken, told = memory(FeatureSet.load, path)
    assert "a.parquet" in told
    assert taken < LIMIT


def test_class_names_of_which_one_is_long_are_refused(tmp_path):
    names = ["a" * MIB, *map(str, range(1000))]
    data = FeatureSet(np.ones((2, 3), np.float32), [0, 1], ("a", "b"))
    for suffix in (".safetensors", ".parquet"):
        path = tmp_path / f"a{suffix}"
        data.save(path)
        content = path.read_bytes()
        if suffix == ".safetensors":
            end = 8 + struct.unpack("<Q", content[:8])[0]
            header = json.loads(content[8:end])
            header["__metadata__"]["class_names"] = json.dumps(names)
            text = json.dumps(header).encode()
            path.write_bytes(struct.pack("<Q", len(text)) + text + content[end:])
        else:
            table = pq.read_table(path)
            told = {"class_names": json.dumps(names)}
            pq.write_table(table.replace_schema_metadata(told), path)
        with pytest.raises(ValueError, match=r"a\.\w+: text must be of similar length"):
            FeatureSet.load(path)


def test_types_of_labels_ask_for_no_more_than_the_text_takes():
    with pytest.raises(ValueError, match="text must be of similar length"):
        decode_labels({"dtype": "<U90000000", "values": ["a", "b"]})
    many = ["a"] * 1000 + ["b" * 100_000]
    with pytest.raises(ValueError, match="text must be of similar length"):
        decode_labels({"dtype": "<U100000", "values": many})
    assert decode_labels({"dtype": "<U99", "values": ["a"]}).dtype == "<U99"


def test_members_of_an_archive_are_no_larger_than_it_can_hold(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=6) as tar:
        info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        info.size = 100 * MIB
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(ValueError, match=rf"cifar-10-binary.*{ASKS}"):
        cifar("cifar10", tmp_path, split="test")


def test_headers_ask_for_nothing_that_the_file_does_not_hold(tmp_path):
    text = json.dumps(
        {"head.weight": {"dtype": "F32", "shape": [2**31, 2], "data_offsets": [0, 8]}}
    ).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    for load in (FeatureSet.load, load_head):
        with pytest.raises(ValueError, match=r"a\.safetensors must"):
            load(path)
