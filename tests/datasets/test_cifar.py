import builtins
import gzip
import importlib
import io
import pickle
import sys
import tarfile
import types
from dataclasses import replace

import numpy as np
import pytest

from headtail.datasets.cifar import cifar, cifar_lt
from headtail.datasets.profiles import exponential_counts

# As an attribute of its package, the module's name is the function's.
room = importlib.import_module("headtail.datasets.cifar")

NAMES = {
    "cifar10": [f"class_{i}" for i in range(10)],
    "cifar100": [f"class_{i}" for i in range(100)],
}
PER_CLASS = {"cifar10": (20, 2), "cifar100": (5, 1)}


def reference_image(seed):
    """Return an image and its planes: all red, then all green, then all blue."""
    image = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    planes = [
        int(image[y, x, c]) for c in range(3) for y in range(32) for x in range(32)
    ]
    return image, bytes(planes)


IMAGES, PLANES = zip(*[reference_image(seed) for seed in range(4)], strict=True)


def records(name, labels):
    """Return what a file of the binary version holds; the image follows the label."""
    # The coarse label of CIFAR-100 comes first; 255 shows if it were taken.
    head = b"\xff" if name == "cifar100" else b""
    return b"".join(head + bytes([label]) + PLANES[label % 4] for label in labels)


def contents(name):
    """Return the files of the archive by name, and the labels of each split."""
    source = room._SOURCES[name]
    labels = {
        split: np.random.default_rng(0)
        .permutation(np.repeat(np.arange(source.n_classes), each))
        .tolist()
        for split, each in zip(("train", "test"), PER_CLASS[name], strict=True)
    }
    files = {source.names: "\n".join([*NAMES[name], "", ""]).encode()}
    for split, names in source.files.items():
        parts = np.array_split(labels[split], len(names))
        files |= {
            file: records(name, part.tolist())
            for file, part in zip(names, parts, strict=True)
        }
    return files, labels


@pytest.fixture(scope="module")
def small():
    return {name: contents(name) for name in NAMES}


@pytest.fixture(params=["cifar10", "cifar100"])
def name(request):
    return request.param


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch):
    """Expect small files."""
    for name, source in room._SOURCES.items():
        sizes = zip(("train", "test"), PER_CLASS[name], strict=True)
        fewer = {split: each * source.n_classes for split, each in sizes}
        monkeypatch.setitem(room._SOURCES, name, replace(source, sizes=fewer))


def unpack(folder, files):
    folder.mkdir(exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)


def pack(path, folder, files):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def folder(name, small, tmp_path, request):
    """Return a folder with both splits, unpacked."""
    unpack(tmp_path / room._SOURCES[name].folder, small[name][0])
    return tmp_path


def assert_is(data, name, labels):
    assert data.labels.tolist() == labels
    assert data.class_names == tuple(NAMES[name])
    assert data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.images, [IMAGES[label % 4] for label in labels])


def test_the_table_is_that_of_the_published_archives(monkeypatch):
    monkeypatch.undo()
    for source in room._SOURCES.values():
        assert source.sizes == {"train": 50_000, "test": 10_000}
    assert room._SOURCES["cifar10"].md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert room._SOURCES["cifar100"].md5 == "03b5dce01913d631647c71ecec9e9cb8"


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_labels_and_names_are_read_from_unpacked_files(
    folder, name, small, split
):
    assert_is(cifar(name, folder, split=split), name, small[name][1][split])
    inside = folder / room._SOURCES[name].folder
    assert_is(cifar(name, inside, split=split), name, small[name][1][split])


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_archive_is_read_without_unpacking(name, small, tmp_path, split):
    source = room._SOURCES[name]
    pack(tmp_path / source.archive, source.folder, small[name][0])
    assert_is(cifar(name, tmp_path, split=split), name, small[name][1][split])
    assert [file.name for file in tmp_path.iterdir()] == [source.archive]


def test_the_images_may_be_written_to(folder, name):
    data = cifar(name, folder, split="test")
    assert data.images.flags.writeable
    assert data.images.flags.c_contiguous


def test_the_order_of_members_and_odd_ones_change_nothing(small, tmp_path):
    files, labels = small["cifar10"]
    path = tmp_path / "cifar-10-binary.tar.gz"
    pack(path, "elsewhere/deep", dict(reversed(files.items())))
    with tarfile.open(path) as old:
        members = [(m, old.extractfile(m).read()) for m in old]
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        link = tarfile.TarInfo("x/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    data = cifar("cifar10", tmp_path, split="train")
    assert data.labels.tolist() == labels["train"]
    assert len(cifar("cifar10", tmp_path, split="test")) == 20


def test_nothing_is_unpickled(folder, name, monkeypatch):
    def never(*_, **__):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "load", never)
    monkeypatch.setattr(pickle, "loads", never)
    cifar(name, folder, split="test")


def test_missing_files_are_named_with_where_to_get_them(tmp_path, name):
    archive = room._SOURCES[name].archive
    expected = (
        rf"must hold {archive} or its files \[.*Pass download=True where there is a "
        rf"network, or get it from https://www.cs.toronto.edu/~kriz/{archive}"
    )
    with pytest.raises(FileNotFoundError, match=expected):
        cifar(name, tmp_path, split="train")


def test_an_archive_that_lacks_files_or_is_damaged_is_refused(small, tmp_path):
    path = tmp_path / "cifar-100-binary.tar.gz"
    pack(path, "x", {"fine_label_names.txt": small["cifar100"][0]["test.bin"]})
    with pytest.raises(FileNotFoundError, match=r"it lacks \['test.bin'\]"):
        cifar("cifar100", tmp_path, split="test")
    whole = path.read_bytes()
    torn = gzip.compress(gzip.decompress(whole), 1)
    for content in (torn[: len(torn) // 2], b"no archive", torn[:30] + b"\x00" * 300):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be a whole tar archive"):
            cifar("cifar100", tmp_path, split="test")


def test_files_of_another_length_are_refused(folder, name):
    file = folder / room._SOURCES[name].folder / room._SOURCES[name].files["test"][0]
    whole = file.read_bytes()
    n = room._SOURCES[name].sizes["test"]
    for content in (whole[:-1], whole[: len(whole) // 2], whole + whole, b""):
        file.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"must hold {n} records of 3,07[34] bytes"
        ):
            cifar(name, folder, split="test")


def test_labels_beyond_the_classes_and_missing_names_are_refused(folder, name, small):
    inside = folder / room._SOURCES[name].folder
    n = room._SOURCES[name].sizes["test"]
    wrong = records(name, [room._SOURCES[name].n_classes] * n)
    (inside / room._SOURCES[name].files["test"][0]).write_bytes(wrong)
    with pytest.raises(ValueError, match="labels must be in 0 … 9"):
        cifar(name, folder, split="test")
    (inside / room._SOURCES[name].names).write_text("cat\ndog\n")
    with pytest.raises(ValueError, match=r"must hold 100? names; got 2"):
        cifar(name, folder, split="train")


def test_unknown_names_and_splits_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'cifar'\. Known names: cifar10, cifar100"):
        cifar("cifar", tmp_path, split="train")
    with pytest.raises(ValueError, match="'train' or 'test'; got 'val'"):
        cifar("cifar10", tmp_path, split="val")


def test_the_long_tail_falls_and_is_drawn_by_the_seed(folder, name, small):
    each, n_classes = PER_CLASS[name][0], len(NAMES[name])
    first, same, other = (cifar_lt(name, folder, each, seed) for seed in (0, 0, 1))
    expected = exponential_counts(n_classes, each, each)
    assert first.class_counts.tolist() == expected.tolist()
    assert (first.class_counts[0], first.class_counts[-1]) == (each, 1)
    assert first.class_names == tuple(NAMES[name])
    assert_is(first, name, first.labels.tolist())
    np.testing.assert_array_equal(first.labels, same.labels)
    # The order is that of the files, so other images make another order of labels.
    assert other.class_counts.tolist() == expected.tolist()
    assert other.labels.tolist() != first.labels.tolist()


def test_a_ratio_of_one_keeps_everything(folder, name, small):
    assert_is(cifar_lt(name, folder, 1, 0), name, small[name][1]["train"])


def test_what_is_missing_is_downloaded_once(small, tmp_path, monkeypatch):
    calls = []

    def fetch(url, folder, md5):
        calls.append((url, md5))
        folder.mkdir(parents=True, exist_ok=True)
        pack(folder / url.rsplit("/", 1)[1], "x", small["cifar10"][0])

    monkeypatch.setattr(room, "_download", fetch)
    for _ in range(2):
        data = cifar("cifar10", tmp_path / "new", split="test", download=True)
        assert data.labels.tolist() == small["cifar10"][1]["test"]
    assert calls == [
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
        )
    ]


@pytest.fixture
def torchvision(monkeypatch):
    """Put a downloader in torchvision's place; return what decides its result."""
    behaviour = {}

    def download_url(url, root, filename, md5):
        (root / filename).write_bytes(b"the archive"[: behaviour.get("bytes", 99)])
        if "error" in behaviour:
            raise behaviour["error"]
        behaviour["arguments"] = (url, filename, md5)

    utils = types.ModuleType("torchvision.datasets.utils")
    utils.download_url = download_url
    for module in ("torchvision", "torchvision.datasets"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    monkeypatch.setitem(sys.modules, "torchvision.datasets.utils", utils)
    return behaviour


def test_torchvision_downloads_and_checks_the_sum(torchvision, tmp_path):
    room._download("https://somewhere/a.tar.gz", tmp_path / "new", "abc")
    assert torchvision["arguments"] == ("https://somewhere/a.tar.gz", "a.tar.gz", "abc")
    assert (tmp_path / "new" / "a.tar.gz").read_bytes() == b"the archive"


@pytest.mark.parametrize(
    "error", [OSError("no route"), RuntimeError("File not found or corrupted.")]
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    torchvision, tmp_path, error
):
    torchvision |= {"error": error, "bytes": 3}
    expected = rf"fetching it failed \({error}\)\. Get it where there is a network"
    with pytest.raises(OSError, match=expected):
        room._download("https://somewhere/a.tar.gz", tmp_path, "abc")
    assert list(tmp_path.iterdir()) == []


def test_without_torchvision_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **settings):
        if name.startswith("torchvision"):
            raise ImportError(name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'headtail\[vision\]'"):
        room._download("https://somewhere/a.tar.gz", tmp_path, "abc")
