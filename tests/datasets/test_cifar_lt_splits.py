import importlib
from dataclasses import replace

import numpy as np
import pytest

from headtail.datasets import cifar_lt, cifar_lt_splits, load_splits

# As an attribute of its package, the module's name is the function's.
room = importlib.import_module("headtail.datasets.cifar")

EACH = {"train": 60, "test": 2}


@pytest.fixture(scope="module")
def small_cifar(tmp_path_factory):
    """Return a folder with 60 images of each of ten classes, all different."""
    folder = tmp_path_factory.mktemp("cifar")
    source = room._SOURCES["cifar10"]
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
    source = room._SOURCES["cifar10"]
    sizes = {split: 10 * each for split, each in EACH.items()}
    monkeypatch.setitem(room._SOURCES, "cifar10", replace(source, sizes=sizes))

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
    whole = keys(room.cifar("cifar10", small_cifar, split="train"))
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
