import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from headtail import FeatureSet
from headtail.scale import gather_statistics, partial
from headtail.scale.addresses import list_shards
from headtail.statistics import ClassStatistics


def rows_of(folder):
    """Return features and labels of all shards, one file after the other."""
    parts = [FeatureSet.load(path) for path in sorted(folder.iterdir())]
    rows = np.concatenate([part.features for part in parts]).astype(np.float64)
    return rows, np.concatenate([part.targets for part in parts])


def assert_sums(statistics, rows, labels, n_classes):
    """Compare with sums that a loop over classes adds up."""
    assert (statistics.n_classes, statistics.n_features) == (n_classes, rows.shape[1])
    for label in range(n_classes):
        own = rows[labels == label]
        norms = np.sqrt((own**2).sum(axis=1, keepdims=True))
        units = own / np.where(norms > 0, norms, 1)
        assert statistics.class_counts[label] == len(own)
        assert statistics.zero_counts[label] == (norms == 0).sum()
        np.testing.assert_allclose(statistics.sums[label], own.sum(0), atol=1e-5)
        np.testing.assert_allclose(statistics.unit_sums[label], units.sum(0), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*are all zero")
@pytest.mark.parametrize("block", [1, 12, 2**26])
@pytest.mark.parametrize("place", ["folder", "file", "memory"])
def test_statistics_are_those_of_all_rows(
    place, block, features, memory, upload, monkeypatch
):
    monkeypatch.setattr(partial, "_BLOCK_NUMBERS", block)
    source = {"folder": features, "file": f"file://{features}", "memory": memory}[place]
    if place == "memory":
        upload(features, memory)
    statistics, names = gather_statistics(source)
    rows, labels = rows_of(features)
    assert names is None
    assert_sums(statistics, rows, labels, labels.max() + 1)


@pytest.mark.filterwarnings("ignore:.*are all zero")
def test_one_file_is_one_shard(features, memory, upload):
    upload(features, memory)
    data = FeatureSet.load(features / "1.safetensors")
    for source in (features / "1.safetensors", f"{memory}/1.safetensors"):
        statistics, _ = gather_statistics(source)
        assert_sums(statistics, data.features, data.targets, data.targets.max() + 1)


def test_names_that_files_declare_are_kept_with_empty_classes(tmp_path):
    names = ("ox", "ant", "?")
    FeatureSet([[1.0, 2.0]], [1], names).save(tmp_path / "a.npz")
    empty = np.empty(0, np.int64)
    FeatureSet(np.empty((0, 2)), empty, names).save(tmp_path / "b.npz")
    statistics, found = gather_statistics(tmp_path)
    assert (found, statistics.class_counts.tolist()) == (names, [0, 1, 0])
    assert statistics.sums.tolist() == [[0, 0], [1, 2], [0, 0]]


def test_text_labels_are_sorted_over_all_shards(tmp_path):
    shards = {"a": ["yak", "ox"], "b": [], "c": ["zebu", "ant", "ox"]}
    for number, (name, labels) in enumerate(shards.items()):
        rows = np.arange(len(labels) * 2.0).reshape(-1, 2) + 10 * number + 1
        text = np.array(labels, dtype=np.str_)
        np.savez(tmp_path / f"{name}.npz", features=rows, labels=text)
    statistics, names = gather_statistics(tmp_path)
    assert names == ("ant", "ox", "yak", "zebu")
    assert statistics.class_counts.tolist() == [1, 2, 1, 1]
    expected = [[23, 24], [3 + 25, 4 + 26], [1, 2], [21, 22]]
    assert statistics.sums.tolist() == expected


def save(path, **arrays):
    np.savez(path, **arrays)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("labels", "none", "names"),
    [([0, 2], "U3", None), (["ox", "yak"], "i8", ("ox", "yak"))],
)
def test_a_shard_without_rows_says_nothing_of_the_labels(
    labels, none, names, first, tmp_path
):
    save(tmp_path / "b.npz", features=np.ones((2, 3)), labels=labels)
    other = tmp_path / ("a.npz" if first else "c.npz")
    save(other, features=np.ones((0, 3)), labels=np.empty(0, none))
    statistics, found = gather_statistics(tmp_path)
    assert found == names
    assert int(statistics.class_counts.sum()) == 2


def test_what_goes_to_another_process_holds_nothing_twice(tmp_path):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 64))
    save(tmp_path / "a.npz", features=rows, labels=np.arange(300))
    (shard,) = list_shards(tmp_path, [".npz"])
    sent = pickle.dumps(partial.summarise_shard(shard))
    # Sums and sums of unit vectors, 8 bytes each; counts are small.
    assert len(sent) < 1.1 * 2 * 8 * 300 * 64


def test_a_shard_of_few_classes_is_small(tmp_path):
    names = [f"{number:05}" for number in range(50_000)]
    labels = [7, 49_999, 7]
    save(tmp_path / "a.npz", features=np.ones((3, 64)), labels=labels)
    save(
        tmp_path / "b.npz", features=np.ones((3, 64)), labels=labels, class_names=names
    )
    for shard, most in zip(list_shards(tmp_path, [".npz"]), (5e3, 6e5), strict=True):
        part = partial.summarise_shard(shard)
        assert len(pickle.dumps(part)) < most
        assert (part.n_classes, len(part.classes)) == (50_000, 2)
        assert part.whole().class_counts.nonzero().flatten().tolist() == [7, 49_999]


@pytest.mark.parametrize("n_classes", [3, 40, 4000])
def test_many_parts_come_to_the_sums_of_all(n_classes, tmp_path):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(120, 3))
    labels = generator.integers(n_classes, size=120)
    for number in range(12):
        part = slice(10 * number, 10 * number + 10)
        save(tmp_path / f"{number:02}.npz", features=rows[part], labels=labels[part])
    statistics, _ = gather_statistics(tmp_path)
    expected = ClassStatistics(int(labels.max()) + 1, 3).update(rows, labels)
    for name in ("class_counts", "zero_counts", "sums", "unit_sums"):
        torch.testing.assert_close(getattr(statistics, name), getattr(expected, name))


def test_sums_of_all_are_not_copied_for_every_shard(tmp_path):
    for number in range(9):
        labels = np.arange(4) if number < 2 else [number % 4] * 4
        save(tmp_path / f"{number}.npz", features=np.ones((4, 2)), labels=labels)
    whole, *parts = map(partial.summarise_shard, list_shards(tmp_path, [".npz"]))
    sums = whole.statistics.sums
    for part in parts:
        whole = partial.merge_parts(whole, part)
    assert whole.whole().sums is sums
    assert int(whole.whole().class_counts.sum()) == 36


ROWS = np.ones((2, 3))
CASES = {
    "names": (
        {"class_names": ["a", "b"]},
        {"class_names": ["b", "a"]},
        r"b\.npz must have the class names of .*a\.npz; they differ",
    ),
    "text in one": (
        {"class_names": ["a", "b"]},
        {"labels": ["a", "b"]},
        "must have the class names of",
    ),
    "names in one": ({"class_names": ["a", "b"]}, {}, "must have the class names of"),
    "names in the other": (
        {},
        {"class_names": ["a", "b"]},
        "must have the class names",
    ),
    "kind": ({}, {"labels": ["a", "b"]}, r"b\.npz must have labels of the kind of"),
    "width": (
        {},
        {"features": np.ones((2, 4))},
        r"b\.npz must have the width of .*a\.npz; it has 4 features, not 3",
    ),
    "label": (
        {},
        {"labels": [0, -1]},
        r"b\.npz, rows 0 … 1: labels must be at least 0",
    ),
    "no labels": ({}, {"labels": None}, r"b\.npz must hold labels; add"),
    "few labels": ({}, {"labels": [1]}, r"one label each; got shapes \[2, 3\] and \[1"),
    "flat": ({}, {"features": np.ones(2)}, r"got shapes \[2\] and \[2\]"),
    "not finite": (
        {},
        {"features": ROWS * np.array([[1], [np.nan]])},
        r"b\.npz, rows 0 … 1: features must be finite; 1 rows hold .* \(rows \[1\]",
    ),
    "far label": ({}, {"labels": [0, 2**50]}, "whose statistics fit into memory"),
}


@pytest.mark.parametrize("case", CASES)
def test_shards_that_do_not_fit_are_named(case, tmp_path):
    first, second, message = CASES[case]
    for name, changes in (("a", first), ("b", second)):
        arrays = {"features": ROWS, "labels": [0, 1], **changes}
        save(
            tmp_path / f"{name}.npz",
            **{key: value for key, value in arrays.items() if value is not None},
        )
    with pytest.raises(ValueError, match=message):
        gather_statistics(tmp_path)


def test_engines_are_checked(features):
    with pytest.raises(ValueError, match=r"one of \['local', 'ray'\]; got 'spark'"):
        gather_statistics(features, engine="spark")
    with pytest.raises(
        ValueError, match="address is that of a Ray cluster; got 'auto'"
    ):
        gather_statistics(features, address="auto")
    with pytest.raises(ValueError, match="is in the memory of one process"):
        gather_statistics("memory://features", engine="ray")


def test_what_is_missing_is_named(features, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"Ray must be .*'headtail\[scale\]'"):
        gather_statistics(features, engine="ray")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r"fsspec must be .*'headtail\[scale\]'"):
        gather_statistics("s3://bucket/features")


def test_the_local_engine_does_without_ray(features):
    code = (
        "import sys, warnings; warnings.simplefilter('ignore');"
        "sys.modules['ray'] = sys.modules['fsspec.core'] = None;"
        "import headtail.cli; from headtail.scale import gather_statistics;"
        f"print(gather_statistics({str(features)!r}).statistics.n_features)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "5\n"
