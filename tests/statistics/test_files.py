import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from headtail.heads import LinearHead
from headtail.statistics import ClassStatistics, load_statistics, save_statistics

NAMES = ["ox", "", "größer"]


@pytest.fixture
def statistics():
    """Return statistics of three classes: one with a zero row, one empty."""
    rows = [[3.0, 4.0], [0.0, 0.0], [1e-3, -7.0], [5.0, 1e20]]
    return ClassStatistics(3, 2).update(rows, [0, 0, 2, 2])


@pytest.mark.parametrize("names", [None, NAMES, tuple(NAMES)])
def test_what_is_read_is_what_was_written(names, statistics, tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        save_statistics(tmp_path / name, statistics, names)
    loaded, found = load_statistics(tmp_path / "a.safetensors")
    assert found == (None if names is None else tuple(NAMES))
    assert loaded.class_counts.tolist() == [2, 0, 2]
    assert loaded.zero_counts.tolist() == [1, 0, 0]
    assert loaded.sums.equal(statistics.sums)
    assert loaded.unit_sums.equal(statistics.unit_sums)
    content = (tmp_path / "a.safetensors").read_bytes()
    assert content == (tmp_path / "b.safetensors").read_bytes()
    # They are statistics again: more can be added.
    assert loaded.update([[1.0, 1.0]], [1]).class_counts.tolist() == [2, 1, 2]


def test_what_forgetting_leaves_can_be_read(tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 3)) * 1e3
    statistics = ClassStatistics(1, 3).update(rows, [0] * 50)
    statistics.update([[0.0, 0.0, 0.0]], [0])
    for start in range(0, 50, 7):
        part = rows[start : start + 7]
        statistics.forget(part, [0] * len(part))
    assert statistics.unit_sums.any()
    save_statistics(tmp_path / "s", statistics)
    assert load_statistics(tmp_path / "s").statistics.class_counts.tolist() == [1]


@pytest.mark.parametrize(
    ("names", "found"),
    [(["a", "b"], "2, of which 2"), (["a", "b", "a"], "3, of which 2 are distinct")],
)
def test_names_must_be_one_per_class(names, found, statistics, tmp_path):
    with pytest.raises(ValueError, match=f"one for each of 3 classes; got {found}"):
        save_statistics(tmp_path / "s", statistics, names)
    assert list(tmp_path.iterdir()) == []


def written(path, tensors, metadata):
    text = json.dumps({"format": 1, **metadata})
    save_file(tensors, path, metadata={"headtail": text})
    return path


GOOD = {"class_statistics": {"class_names": None}}


@pytest.mark.parametrize(
    ("changes", "metadata", "message"),
    [
        ({}, {}, "its metadata say nothing of class_statistics"),
        ({}, {"class_statistics": 3}, "must hold class statistics"),
        ({}, {"class_statistics": {}}, "class_names"),
        ({}, {"class_statistics": {"class_names": ["a"]}}, "one for each of 3"),
        ({}, {"class_statistics": {"class_names": "abc"}}, "a list of text"),
        ({}, {"class_statistics": {"class_names": [1, 2, 3]}}, "a list of text"),
        ({"more": torch.ones(1)}, GOOD, "it has the tensors"),
        ({"sums": None}, GOOD, "it has the tensors"),
        ({"sums": torch.ones(3, 2)}, GOOD, "sums is not of torch.float64 in 2"),
        ({"class_counts": torch.ones(3)}, GOOD, "class_counts is not of torch.int64"),
        ({"zero_counts": torch.zeros(2, dtype=torch.int64)}, GOOD, "do not fit each"),
        ({"sums": torch.ones(2, 2).double()}, GOOD, "do not fit each other"),
        ({"unit_sums": torch.zeros(3, 9).double()}, GOOD, "do not fit each other"),
        ({"zero_counts": torch.tensor([3, 0, 0])}, GOOD, r"classes \[0\] cannot be"),
        ({"zero_counts": torch.tensor([0, 0, -1])}, GOOD, r"classes \[2\] cannot be"),
        ({"class_counts": torch.tensor([1, 0, 1])}, GOOD, r"classes \[0\] cannot"),
        ({"sums": torch.ones(3, 2).double()}, GOOD, r"classes \[1\] cannot be sums"),
        ({"sums": torch.full((3, 2), torch.nan).double()}, GOOD, r"\[0, 1, 2\] cannot"),
        ({"unit_sums": torch.full((3, 2), torch.nan).double()}, GOOD, r"\[0, 1, 2\]"),
        ({"unit_sums": torch.ones(3, 2).double() * 2}, GOOD, r"\[0, 1, 2\] cannot"),
    ],
)
def test_what_no_examples_could_give_is_refused(
    changes, metadata, message, statistics, tmp_path
):
    save_statistics(tmp_path / "good", statistics)
    tensors = {**load_file(tmp_path / "good"), **changes}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    bad = written(tmp_path / "bad", tensors, metadata)
    with pytest.raises(ValueError, match=message) as caught:
        load_statistics(bad)
    assert str(bad) in str(caught.value)


def test_foreign_files_are_refused(statistics, tmp_path):
    path = tmp_path / "s.safetensors"
    with pytest.raises(FileNotFoundError, match=r"s\.safetensors does not exist"):
        load_statistics(path)
    path.write_bytes(pickle.dumps(statistics.sums))
    with pytest.raises(ValueError, match="must be a whole safetensors file"):
        load_statistics(path)
    LinearHead(torch.ones(2, 2)).save(path)
    with pytest.raises(ValueError, match="must hold class statistics"):
        load_statistics(path)
    save_statistics(path, statistics)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="must be a whole safetensors file"):
        load_statistics(path)
