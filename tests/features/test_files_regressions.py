"""Files that once were read wrongly, or refused without their name."""

import io
import zipfile

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import save_file

from headtail import FeatureSet, LinearHead, load_head
from headtail.files import write_tensors
from headtail.predictions import Predictions


def shards(folder, first, second):
    folder.mkdir()
    for name, (features, labels) in {"a": first, "b": second}.items():
        np.savez(folder / f"{name}.npz", features=features, labels=labels)
    return folder


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ((np.ones((2, 2)), [0, 1, 1]), r"b.npz must have one label per row"),
        ((np.ones((2, 2)), ["x", "y"]), r"b.npz .* of the kind of those in a.npz"),
        ((np.ones((2, 2)), 0), r"b.npz must have one label per row"),
    ],
)
def test_a_shard_whose_labels_do_not_fit_is_named(second, message, tmp_path):
    folder = shards(tmp_path / "shards", (np.ones((2, 2)), [0, 1]), second)
    with pytest.raises(ValueError, match=message):
        FeatureSet.load(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_archive_is_named_and_closed(share, tmp_path):
    path = tmp_path / "cut.npz"
    FeatureSet(np.ones((50, 3)), np.zeros(50, dtype=int)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"cut.npz must be a whole .npz file"):
        FeatureSet.load(path)


def test_a_single_array_is_named(tmp_path):
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"one.npz .*it is no archive of arrays"):
        FeatureSet.load(tmp_path / "one.npz")


def test_a_parquet_column_without_lists_is_named(tmp_path):
    table = pyarrow.table({"features": [1.0, 2.0], "label": [0, 1]})
    pyarrow.parquet.write_table(table, tmp_path / "flat.parquet")
    with pytest.raises(ValueError, match=r"flat.parquet must have lists in 'features'"):
        FeatureSet.load(tmp_path / "flat.parquet")


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.parquet", "folder"])
def test_no_rows_come_back_as_no_rows(name, tmp_path):
    empty = FeatureSet(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    empty.save(tmp_path / name)
    assert FeatureSet.load(tmp_path / name).features.shape == (0, 3)


def test_bfloat16_shards_are_read_as_float32(tmp_path):
    for name in ("a", "b"):
        features = torch.ones(2, 3, dtype=torch.bfloat16)
        data = {"features": features, "labels": torch.tensor([0, 1])}
        save_file(data, tmp_path / f"{name}.safetensors")
    assert FeatureSet.load(tmp_path).features.dtype == np.float32


def test_big_endian_features_can_be_written_to_parquet(tmp_path):
    FeatureSet(np.ones((2, 3), ">f4"), [0, 1]).save(tmp_path / "a.parquet")
    assert (FeatureSet.load(tmp_path / "a.parquet").features == 1).all()


def test_a_class_that_does_not_fit_its_type_is_named(tmp_path):
    path = tmp_path / "head.safetensors"
    tensors = {"head.weight": torch.eye(2), "head.bias": torch.zeros(2)}
    classes = {"dtype": "|i1", "values": [1, 300]}
    spec = {"type": "linear", "normalize": False}
    write_tensors(path, tensors, {"head": spec, "classes": classes})
    with pytest.raises(ValueError, match=r"head.safetensors must hold a head"):
        load_head(path)


def test_predictions_of_object_labels_are_saved_as_text(tmp_path):
    classes = np.array(["a", "b"], dtype=object)
    Predictions.from_proba(np.eye(2), classes).save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as file:
        assert file["label"].tolist() == ["a", "b"]


def test_a_bias_of_another_precision_follows_the_weight():
    head = LinearHead(torch.eye(2), torch.zeros(2, dtype=torch.float64))
    assert head(torch.ones(1, 2)).dtype == torch.float32


def test_nothing_is_a_subset_and_no_name_is_no_class():
    assert len(FeatureSet([[1.0]], [0]).subset([])) == 0
    with pytest.raises(ValueError, match=r"names in class_names; got \['a'\]"):
        FeatureSet([[1.0]], ["a"], [])


def test_a_header_that_asks_for_its_neighbours_bytes_is_refused(tmp_path):
    path = tmp_path / "greedy.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in {"features": np.ones((2, 3)), "labels": np.ones(9)}.items():
            stream = io.BytesIO()
            np.save(stream, array)
            forged = stream.getvalue().replace(b"(2, 3)", b"(4, 3)")
            archive.writestr(f"{name}.npy", forged)
    with pytest.raises(ValueError, match=r"greedy.npz .*does not fit its bytes"):
        FeatureSet.load(path)
