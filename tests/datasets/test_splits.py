import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headtail.datasets import (
    get_protocol,
    glyphs,
    load_splits,
    protocols,
)
from headtail.datasets import splits as room

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
    write_arrays(tmp_path / "val.npz", [1, 0, 1], 10, ["bee", "cat"])
    for number, name in enumerate(["ant", "bee", "cat"]):
        write(tmp_path / "test" / name / "a.png", 20 + number)
    splits = load_splits(tmp_path)
    for data, expected, first in (
        (splits.validation, ["cat", "bee", "cat"], 10),
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


def test_without_a_test_list_that_of_validation_is_reported_on(published, monkeypatch):
    """As for iNaturalist 2018: then nothing can be chosen on it."""
    row = replace(TINY, lists={"train": "Tiny_train.txt", "val": "Tiny_val.txt"})
    for module in (protocols, room):
        monkeypatch.setattr(module, "PROTOCOLS", (row,))
    splits = load_splits(published, {"name": "tiny-lt"})
    assert (numbers(splits.train), numbers(splits.test)) == ([0, 1, 2], [3, 4])
    assert splits.validation is None


def test_sun_397_is_split_by_the_seed_with_folders_in_folders(tmp_path):
    written = 0
    for name, n in (("a/abbey", 102), ("b/bar", 104), ("b/bar/wine", 100)):
        for _ in range(n):
            write(tmp_path / name / f"{written:03d}.png", written % 256)
            written += 1
    splits = load_splits(tmp_path, {"name": "sun-397-lt"}, seed=2)
    # Of 102: 51 halved - 49; 10 - 9; the test set has 40.
    assert [data.class_counts.tolist() for data in splits] == [
        [2, 3, 1],
        [1, 1, 1],
        [40, 40, 40],
    ]
    used = [path for data in splits for path in data.images.paths]
    assert len(set(used)) == len(used) == 129
    for data in splits:
        assert data.class_names == ("a/abbey", "b/bar", "b/bar/wine")
        for path, label in zip(data.images.paths, data.labels, strict=True):
            folder = Path(path).parent.relative_to(tmp_path).as_posix()
            assert folder == data.class_names[label]
    other = load_splits(tmp_path, {"name": "sun-397-lt"}, seed=3)
    assert other.test.images.paths != splits.test.images.paths


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
            {"name": "places-205-lt"},
            FileNotFoundError,
            "hold train, val and test for Places-205-LT, .* at its authors, who",
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
        ({"title": "x"}, ValueError, "Unknown protocol 'None'"),
        ({}, FileNotFoundError, "must hold train "),
    ],
)
def test_what_a_protocol_lacks_is_named(protocol, error, message, tmp_path):
    with pytest.raises(error, match=message):
        load_splits(tmp_path, protocol)
