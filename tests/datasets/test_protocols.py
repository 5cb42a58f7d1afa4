import gzip
import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from headtail.datasets import protocols
from headtail.datasets.profiles import exponential_counts
from headtail.datasets.protocols import PROTOCOLS, get_protocol, protocol_lists

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "protocols"
needs_published_lists = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the published lists are not beside the project"
)

TINY = replace(
    get_protocol("imagenet-lt"),
    name="tiny-lt",
    title="Tiny-LT",
    n_classes=3,
    n_train=7,
    largest=4,
    smallest=1,
    lists={"train": "Tiny_train.txt", "val": "Tiny_val.txt"},
    sizes={"train": 7, "val": 3},
    class_names="Tiny_classnames.txt",
)
TRAIN = [0, 0, 0, 0, 1, 1, 2]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Make a protocol of three classes known; return a writer of its lists."""
    monkeypatch.setattr(protocols, "PROTOCOLS", (*PROTOCOLS, TINY))

    def write(train=TRAIN, val=(0, 1, 2), packed=False):
        for name, labels in (("Tiny_train.txt", train), ("Tiny_val.txt", val)):
            text = "".join(
                f"train/n{label}/{i}.jpg {label}\n" for i, label in enumerate(labels)
            )
            if packed:
                (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
            else:
                (tmp_path / name).write_text(text)
        return tmp_path

    return write


def test_the_rows_have_the_published_numbers():
    rows = {
        row.name: (row.n_classes, row.n_train, row.largest, row.smallest)
        for row in PROTOCOLS
    }
    assert rows == {
        "imagenet-lt": (1000, 115_846, 1280, 5),
        "places-lt": (365, 62_500, 4980, 5),
        "inaturalist-2018": (8142, 437_513, 1000, 2),
        "sun-397-lt": (397, None, 1132, 1),
        "places-205-lt": (205, None, 9900, 5),
        "cifar10-lt": (10, 12_406, 5000, 50),
        "cifar100-lt": (100, 10_847, 500, 5),
    }


@pytest.mark.parametrize("row", PROTOCOLS, ids=lambda row: row.name)
def test_rows_are_whole_and_agree_with_themselves(row):
    assert row.paper.startswith("https://")
    assert row.source
    assert row.images
    assert row.lists.keys() == row.sizes.keys()
    if row.lists:
        assert row.sizes["train"] == row.n_train
        assert "https://" in row.source
    with pytest.raises(FrozenInstanceError):
        row.n_train = 1


def test_names_of_rows_and_files_are_distinct():
    names = [row.name for row in PROTOCOLS]
    files = [file for row in PROTOCOLS for file in row.lists.values()]
    assert len(set(names)) == len(names)
    assert len(set(files)) == len(files) == 8


@pytest.mark.parametrize("name", ["cifar10-lt", "cifar100-lt"])
def test_cifar_rows_are_what_the_profile_makes(name):
    row = get_protocol(name)
    counts = exponential_counts(row.n_classes, row.largest, 100)
    assert (counts.sum(), counts.max(), counts.min()) == (
        row.n_train,
        row.largest,
        row.smallest,
    )


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"'imagenet'\. Known protocols: imagenet-lt, "
    ):
        get_protocol("imagenet")


@pytest.mark.parametrize("packed", [False, True])
def test_lists_are_read_plain_and_packed(tiny, packed):
    lists, names = protocol_lists("tiny-lt", tiny(packed=packed))
    assert list(lists) == ["train", "val"]
    assert lists["train"].labels.tolist() == TRAIN
    assert lists["val"].paths == ("train/n0/0.jpg", "train/n1/1.jpg", "train/n2/2.jpg")
    assert names is None


def test_class_names_are_found_by_the_folders_of_the_images(tiny):
    folder = tiny()
    # Another order than that of labels, and a class that no list has.
    names = ["n2 missile", "n9 crane", "n0 missile", "n1 white shark"]
    (folder / "Tiny_classnames.txt").write_text("\n".join(names))
    for splits in (None, ["val"]):
        read = protocol_lists("tiny-lt", folder, splits=splits).class_names
        assert read == ("missile (n0)", "white shark", "missile (n2)")
    (folder / "Tiny_classnames.txt").write_text("n1 missile\n")
    with pytest.raises(ValueError, match=r"it lacks \['n0', 'n2'\]\. Get it again"):
        protocol_lists("tiny-lt", folder)


def test_only_the_splits_that_are_asked_for_need_be_there(tiny):
    folder = tiny()
    (folder / "Tiny_val.txt").unlink()
    lists, _ = protocol_lists("tiny-lt", folder, splits=["train"])
    assert list(lists) == ["train"]
    for splits, shown in ((["train", "test"], r"\['train', 'test'\]"), ([], r"\[\]")):
        expected = rf"among \['train', 'val'\], the lists of tiny-lt; got {shown}"
        with pytest.raises(ValueError, match=expected):
            protocol_lists("tiny-lt", folder, splits=splits)


def test_a_missing_list_is_named_with_where_to_get_it(tiny):
    folder = tiny()
    (folder / "Tiny_val.txt").unlink()
    expected = (
        r"must hold Tiny_val.txt or Tiny_val.txt.gz, the val list of Tiny-LT; it holds "
        r"neither\. Get it from https://github.com/zhmiao/OpenLongTailRecognition-OLTR"
    )
    with pytest.raises(FileNotFoundError, match=expected):
        protocol_lists("tiny-lt", folder)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (TRAIN[1:], [0, 1, 2], "train list .* number of images must be 7; got 6"),
        ([0, 0, 0, 0, 0, 0, 1], [0, 1, 2], "number of classes must be 3; got 2"),
        ([0, 0, 0, 0, 1, 1, 3], [0, 1, 2], "largest label must be 2; got 3"),
        ([0, 0, 0, 1, 1, 1, 2], [0, 1, 2], "largest class must be 4; got 3"),
        ([1, 1, 1, 1, 2, 2, 3], [0, 1, 2], "largest label must be 2; got 3"),
        (
            TRAIN,
            [0, 1, 1],
            "val list of Tiny-LT: its number of classes must be 3; got 2",
        ),
    ],
)
def test_lists_that_differ_from_the_published_are_refused(tiny, train, val, message):
    with pytest.raises(ValueError, match=message):
        protocol_lists("tiny-lt", tiny(train, val))


@pytest.mark.parametrize("name", ["sun-397-lt", "places-205-lt", "cifar10-lt"])
def test_a_protocol_without_lists_says_where_it_comes_from(name, tmp_path):
    expected = r"it has none \(they exist for imagenet-lt, .* It comes from "
    with pytest.raises(ValueError, match=expected):
        protocol_lists(name, tmp_path)


@needs_published_lists
def test_the_lists_of_places_lt_are_the_published_ones():
    lists, names = protocol_lists("places-lt", PUBLISHED)
    counts = np.bincount(lists["train"].labels)
    published = json.loads(
        (PUBLISHED / "Places_LT_train_class_counts.json").read_text()
    )
    assert counts.tolist() == published
    assert np.bincount(lists["val"].labels).tolist() == [20] * 365
    assert np.bincount(lists["test"].labels).tolist() == [100] * 365
    assert (names[0], names[-1]) == ("airfield", "zen_garden")
    # The folder of every image is its class, though the names' file has another order.
    folders = [path.split("/")[1] for path in lists["test"].paths]
    assert folders == [names[label] for label in lists["test"].labels]


@needs_published_lists
def test_what_is_there_of_imagenet_lt_agrees_and_what_is_not_is_named():
    lists, names = protocol_lists("imagenet-lt", PUBLISHED, splits=["val"])
    assert np.bincount(lists["val"].labels).tolist() == [20] * 1000
    assert len(set(names)) == 1000
    assert [name for name in names if name.startswith("missile")] == [
        "missile (n03773504)",
        "missile (n04008634)",
    ]
    with pytest.raises(FileNotFoundError, match=r"must hold ImageNet_LT_train\.txt or"):
        protocol_lists("imagenet-lt", PUBLISHED)


@needs_published_lists
@pytest.mark.parametrize(
    ("name", "file"), [("imagenet-lt", "ImageNet_LT"), ("places-lt", "Places_LT")]
)
def test_published_counts_are_those_of_the_row(name, file):
    counts = json.loads((PUBLISHED / f"{file}_train_class_counts.json").read_text())
    row = get_protocol(name)
    assert (len(counts), sum(counts)) == (row.n_classes, row.n_train)
    assert (max(counts), min(counts)) == (row.largest, row.smallest)
