import gzip
import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headtail.datasets import (
    cifar_lt,
    cifar_lt_splits,
    get_protocol,
    glyphs,
    load_splits,
    protocols,
)
from headtail.datasets import splits as room

# As an attribute of its package, the module's name is the function's.
cifar_room = importlib.import_module("headtail.datasets.cifar")

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "protocols"


def picture(number):
    """Return a small image that tells its number."""
    return np.full((2, 3, 3), number, np.uint8)


def numbers(data):
    """Return the numbers of the images."""
    return [int(image[0, 0, 0]) for image in data.images]


def write(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number)).save(path)


def write_arrays(path, labels, first, names=None):
    images = np.stack([picture(first + row) for row in range(len(labels))])
    extra = {} if names is None else {"class_names": names}
    np.savez(path, images=images, labels=labels, **extra)


def test_splits_are_folders_arrays_or_lists(tmp_path):
    for number, name in enumerate(["cat/a", "cat/b", "dog/a"]):
        write(tmp_path / "train" / f"{name}.png", number)
    write_arrays(tmp_path / "val.npz", [1, 0], 10, ["cat", "dog"])
    splits = load_splits(tmp_path)
    assert numbers(splits.train) == [0, 1, 2]
    assert splits.train.labels.tolist() == [0, 0, 1]
    assert (numbers(splits.validation), splits.test) == ([10, 11], None)
    assert splits.validation.labels.tolist() == [1, 0]


@pytest.mark.parametrize("packed", [False, True])
def test_paths_of_lists_begin_at_the_folder(packed, tmp_path):
    for number in range(3):
        write(tmp_path / "images" / f"{number}.png", number)
    for name, rows in (("train", [2, 0]), ("test", [1])):
        text = "".join(f"images/{row}.png {row // 2}\n" for row in rows).encode()
        file = tmp_path / f"{name}.txt{'.gz' * packed}"
        file.write_bytes(gzip.compress(text) if packed else text)
    splits = load_splits(str(tmp_path))
    assert (numbers(splits.train), numbers(splits.test)) == ([2, 0], [1])
    assert splits.train.labels.tolist() == [1, 0]
    assert splits.validation is None


def test_classes_of_other_splits_are_matched_by_name(tmp_path):
    write_arrays(tmp_path / "train.npz", [0, 1, 2], 0, ["cat", "ant", "bee"])
    write_arrays(tmp_path / "val.npz", [0, 1, 1], 10, ["bee", "cat"])
    for number, name in enumerate(["ant", "bee", "cat"]):
        write(tmp_path / "test" / name / "a.png", 20 + number)
    splits = load_splits(tmp_path)
    for data, expected, first in (
        (splits.validation, ["bee", "cat", "cat"], 10),
        (splits.test, ["ant", "bee", "cat"], 20),
    ):
        assert data.class_names == splits.train.class_names == ("cat", "ant", "bee")
        assert [data.class_names[label] for label in data.labels] == expected
        assert numbers(data) == [first, first + 1, first + 2]


def test_a_class_without_training_images_is_refused(tmp_path):
    write_arrays(tmp_path / "train.npz", [0, 1], 0, ["ant", "bee"])
    write_arrays(tmp_path / "test.npz", [0, 1, 2], 10, ["gnu", "ant", "emu"])
    with pytest.raises(ValueError, match=r"training images; \['gnu', 'emu'\] have no"):
        load_splits(tmp_path)


def test_names_in_one_split_alone_are_refused(tmp_path):
    write_arrays(tmp_path / "train.npz", [0, 1], 0, ["ant", "bee"])
    write_arrays(tmp_path / "val.npz", [0, 1], 10)
    with pytest.raises(ValueError, match="have class names, or none of them"):
        load_splits(tmp_path)


def test_a_folder_without_train_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold train \(a folder of im"):
        load_splits(tmp_path)
    (tmp_path / "train.txt").mkdir()
    with pytest.raises(FileNotFoundError, match="it holds no train"):
        load_splits(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone must hold train"):
        load_splits(tmp_path / "gone")


def test_glyphs_are_embedded_and_drawn_by_the_seed(monkeypatch):
    def small(*, seed):
        return glyphs([4, 2], n_validation=1, n_test=3, seed=seed)

    monkeypatch.setattr(room, "glyphs", small)
    splits = load_splits("glyphs", {"name": "cifar100-lt"}, seed=5)
    expected = small(seed=5)
    for data, other in zip(splits, expected[:3], strict=True):
        np.testing.assert_array_equal(data.images, other.images)
        assert data.class_names == other.class_names
    assert [len(data) for data in splits] == [6, 2, 6]
    other = load_splits("glyphs")
    assert (other.train.images != splits.train.images).any()


TINY = replace(
    get_protocol("imagenet-lt"),
    name="tiny-lt",
    n_classes=2,
    n_train=3,
    largest=2,
    smallest=1,
    lists={"train": "Tiny_train.txt", "val": "Tiny_val.txt", "test": "Tiny_test.txt"},
    sizes={"train": 3, "val": 2, "test": 2},
    class_names="Tiny_classnames.txt",
)


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Return a folder with the lists of a protocol and more images than those."""
    for module in (protocols, room):
        monkeypatch.setattr(module, "PROTOCOLS", (*protocols.PROTOCOLS, TINY))
    number = 0
    for split, chosen in (("train", "110"), ("val", "01"), ("test", "10")):
        lines = []
        place = "train" if split == "train" else "val"
        for row, label in enumerate(chosen):
            path = f"{place}/n{label}/{split}_{row}.png"
            write(tmp_path / path, number)
            lines.append(f"{path} {label}\n")
            number += 1
        (tmp_path / f"Tiny_{split}.txt").write_text("".join(lines))
    write(tmp_path / "train" / "n0" / "in_no_list.png", 99)
    (tmp_path / "Tiny_classnames.txt").write_text("n1 lynx\nn0 house cat\n")
    return tmp_path


def test_published_lists_go_before_folders_of_all_images(published):
    """Those of ImageNet-LT name images in folders train and val of the same place."""
    splits = load_splits(published, {"name": "tiny-lt"})
    assert [numbers(data) for data in splits] == [[0, 1, 2], [3, 4], [5, 6]]
    assert splits.train.labels.tolist() == [1, 1, 0]
    for data in splits:
        assert data.class_names == ("house cat", "lynx")
    assert numbers(load_splits(published).train) == [99, 2, 0, 1]


def test_a_missing_list_is_named_with_where_to_get_it(published):
    (published / "Tiny_test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"Tiny_test\.txt\.gz, the test list"):
        load_splits(published, {"name": "tiny-lt"})


def test_missing_images_of_a_published_list_are_counted(published):
    (published / "val" / "n1" / "val_1.png").unlink()
    expected = r"the val list of tiny-lt must exist below .*; 1 of 2 do not: \['"
    with pytest.raises(FileNotFoundError, match=expected):
        load_splits(published, {"name": "tiny-lt"})


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published lists are not here")
def test_the_images_of_places_lt_are_missed():
    expected = "of the train list of places-lt must exist .*; 62500 of 62500 do not"
    with pytest.raises(FileNotFoundError, match=expected):
        load_splits(PUBLISHED, {"name": "places-lt"})


@pytest.mark.parametrize(
    ("protocol", "error", "message"),
    [
        ({"name": "imagenet-lt"}, FileNotFoundError, "must hold ImageNet_LT_train.txt"),
        (
            {"name": "sun-397-lt"},
            FileNotFoundError,
            "hold train, val and test for SUN-397-LT, .* at sun_split, of SUN-397 at",
        ),
        (
            {"name": "cifar10-lt", "imbalance_ratio": 100},
            FileNotFoundError,
            r"must hold cifar-10-binary\.tar\.gz",
        ),
        (
            {"name": "cifar10-lt", "ratio": 100},
            ValueError,
            r"imbalance_ratio of cifar10-lt; got \{'name': .*'ratio': 100\}",
        ),
        ({"name": "lynx-lt"}, ValueError, "Unknown protocol 'lynx-lt'. Known prot"),
        ({}, ValueError, "Unknown protocol"),
    ],
)
def test_what_a_protocol_lacks_is_named(protocol, error, message, tmp_path):
    with pytest.raises(error, match=message):
        load_splits(tmp_path, protocol)


EACH = {"train": 60, "test": 2}


@pytest.fixture(scope="module")
def small_cifar(tmp_path_factory):
    """Return a folder with 60 images of each of ten classes, all different."""
    folder = tmp_path_factory.mktemp("cifar")
    source = cifar_room._SOURCES["cifar10"]
    rng = np.random.default_rng(0)
    for split, names in source.files.items():
        labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), EACH[split]))
        pixels = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        records = np.concatenate([labels[:, None], pixels], axis=1)
        for name, part in zip(names, np.array_split(records, len(names)), strict=True):
            (folder / name).write_bytes(part.tobytes())
    (folder / source.names).write_text("\n".join("abcdefghij"))
    return folder


@pytest.fixture
def tailed(small_cifar, monkeypatch):
    """Return a maker of the splits of the small CIFAR-10-LT."""
    source = cifar_room._SOURCES["cifar10"]
    sizes = {split: 10 * each for split, each in EACH.items()}
    monkeypatch.setitem(cifar_room._SOURCES, "cifar10", replace(source, sizes=sizes))

    def make(ratio=20, seed=0, **options):
        return cifar_lt_splits("cifar10", small_cifar, ratio, seed, **options)

    return make


def keys(data):
    return {image.tobytes() for image in data.images}


def test_the_splits_of_cifar_lt_share_no_image(tailed):
    train, held, test = tailed()
    sets = [keys(data) for data in (train, held, test)]
    assert [len(one) for one in sets] == [len(train), len(held), len(test)]
    assert len(set.union(*sets)) == len(train) + len(held) + len(test)
    assert {data.class_names for data in (train, held, test)} == {tuple("abcdefghij")}
    assert test.class_counts.tolist() == [2] * 10


def test_validation_images_are_those_that_the_tail_leaves_out(tailed, small_cifar):
    train, held, _ = tailed()
    # 60 · 20^(-i / 9), rounded down; class 0 keeps everything.
    counts = [60, 43, 30, 22, 15, 11, 8, 5, 4, 3]
    assert train.class_counts.tolist() == counts
    assert held.class_counts.tolist() == [0] + [10] * 9
    _, few, _ = tailed(n_validation=20)
    assert few.class_counts.tolist() == [0, 17, *[20] * 8]
    assert len(tailed(n_validation=0)[1]) == 0
    assert len(tailed(ratio=1)[1]) == 0
    _, everything, _ = tailed(n_validation=99)
    whole = keys(cifar_room.cifar("cifar10", small_cifar, split="train"))
    assert keys(train) | keys(everything) == whole


def test_the_seed_draws_the_tail_and_the_validation_images(tailed, small_cifar):
    train, held, test = tailed(seed=3)
    np.testing.assert_array_equal(tailed(seed=3)[1].images, held.images)
    assert keys(tailed(seed=4)[0]) != keys(train)
    assert keys(tailed(seed=4)[2]) == keys(test)
    alone = cifar_lt("cifar10", small_cifar, 20, 3)
    np.testing.assert_array_equal(alone.images, train.images)


def test_splits_of_a_protocol_are_those_of_cifar_lt(tailed, small_cifar):
    protocol = {"name": "cifar10-lt", "imbalance_ratio": 20}
    splits = load_splits(small_cifar, protocol, seed=7)
    for data, expected in zip(splits, tailed(seed=7), strict=True):
        np.testing.assert_array_equal(data.images, expected.images)
        assert data.labels.tolist() == expected.labels.tolist()
