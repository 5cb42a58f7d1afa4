"""Extractions that were broken off, and files that cannot be read."""

import errno
import math

import numpy as np
import pytest
import torch

from headtail.datasets import (
    ImageFiles,
    ImageSet,
    Preprocessing,
    images_from_hugging_face,
)
from headtail.features import FeatureSet, extract, extract_to_folder, source_of
from headtail.features import extraction as room
from headtail.features import files as feature_files

PART = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
WHOLE = [0, 1, 2, 5, 6, 7, 8, 9]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Failing:
    """Images of which one cannot be read at first; notes what is read."""

    paths = ("a", "b")

    def __init__(self, images, at, watched):
        self.images, self.at, self.watched, self.read = images, at, watched, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        assert not self.watched.exists()
        self.read.append(row)
        if row == self.at:
            raise RuntimeError("the power went")
        return self.images[row]


@pytest.mark.parametrize("at", [0, 3, 5, 10])
def test_broken_off_and_called_again_gives_the_same_bytes(at, backbone, data, tmp_path):
    options = {"preprocessing": PART, "shard_rows": 4, "batch_size": 3, "views": 2}
    images = Failing(data.images, None, tmp_path / "f")
    data = ImageSet(images, data.labels, data.class_names)
    extract_to_folder(backbone, data, tmp_path / "whole", **options)
    images.at = at
    with pytest.raises(RuntimeError, match="the power went"):
        extract_to_folder(backbone, data, tmp_path / "f", **options)
    assert backbone.training
    assert {path.name for path in tmp_path.iterdir()} == {"whole", ".f.partial"}
    # What a process leaves behind that is killed while it writes.
    (tmp_path / ".f.partial" / ".part-00001.safetensors.x").mkdir()
    images.at, images.read = None, []
    done = extract_to_folder(backbone, data, tmp_path / "f", **options)
    assert images.read == list(range(at // 4 * 4, 11))
    assert done.n_images == 11
    assert contents(tmp_path / "f") == contents(tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "f"}


def test_if_only_the_name_is_left_nothing_is_read_again(backbone, data, tmp_path):
    options = {"preprocessing": PART, "shard_rows": 4}
    extract_to_folder(backbone, data, tmp_path / "f", **options)
    before = contents(tmp_path / "f")
    (tmp_path / "f").rename(tmp_path / ".f.partial")
    done = extract_to_folder(backbone, data, tmp_path / "f", **options)
    assert (done.n_images, math.isnan(done.images_per_s)) == (11, True)
    assert contents(tmp_path / "f") == before
    assert source_of(tmp_path / "f") == data.fingerprint()


def test_a_full_disk_leaves_what_is_whole_and_the_call_goes_on(
    backbone, data, tmp_path, monkeypatch
):
    options = {"preprocessing": PART, "shard_rows": 4}
    extract_to_folder(backbone, data, tmp_path / "whole", **options)
    write = feature_files._write_safetensors

    def full(path, columns):
        if "00001" in path.name:
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, columns)

    monkeypatch.setitem(feature_files._WRITERS, ".safetensors", full)
    with pytest.raises(OSError, match="No space left on device"):
        extract_to_folder(backbone, data, tmp_path / "f", **options)
    partial = contents(tmp_path / ".f.partial")
    assert sorted(partial) == ["extraction.json", "part-00000.safetensors"]
    assert not (tmp_path / "f").exists()
    monkeypatch.undo()
    assert extract_to_folder(backbone, data, tmp_path / "f", **options).n_images == 11
    assert contents(tmp_path / "f") == contents(tmp_path / "whole")


def other_weights(backbone):
    with torch.no_grad():
        backbone[0].weight[0, 0, 0, 0] += 1
    return backbone


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("views", {"views": 2}),
        ("bf16", {"bf16": True}),
        ("shard_rows", {"shard_rows": 3}),
        ("preprocessing", {"preprocessing": Preprocessing(size=8)}),
        ("images", {"data": lambda data: ImageSet(data.images[::-1], data.labels)}),
        ("images", {"data": lambda data: ImageSet(data.images, data.labels[::-1])}),
        ("backbone", {"backbone": other_weights}),
    ],
)
def test_the_beginning_of_another_extraction_is_refused(
    key, change, backbone, data, tmp_path, monkeypatch
):
    arguments = {"data": data, "preprocessing": PART, "shard_rows": 4}
    arguments["backbone"] = backbone
    with monkeypatch.context() as patch:
        patch.setattr(room, "save_columns", None)
        with pytest.raises(TypeError):
            extract_to_folder(folder=tmp_path / "f", **arguments)
    before = contents(tmp_path / ".f.partial")
    for name, value in change.items():
        arguments[name] = value(arguments[name]) if callable(value) else value
    expected = rf"\.f\.partial holds .* another extraction: \['{key}'\] differ\. Remove"
    with pytest.raises(FileExistsError, match=expected):
        extract_to_folder(folder=tmp_path / "f", **arguments)
    assert contents(tmp_path / ".f.partial") == before


@pytest.mark.parametrize("rows", [[1, 0], [0, 2]])
def test_other_files_with_the_same_labels_are_another_extraction(
    rows, backbone, paths, tmp_path
):
    files = ImageSet(ImageFiles(paths), [0] * 11)
    broken = files.subset([0, 1]), files.subset(rows)
    assert broken[0].fingerprint() != broken[1].fingerprint()
    assert files.subset(rows).fingerprint() == broken[1].fingerprint()
    hub = pytest.importorskip("datasets")
    features = hub.Features({"image": hub.Image(), "label": hub.Value("int64")})
    tables = [
        hub.Dataset.from_dict(
            {"image": [str(paths[row]) for row in some], "label": [0, 0]}, features
        )
        for some in ([0, 1], rows)
    ]
    first, second = (images_from_hugging_face(t).fingerprint() for t in tables)
    assert first != second


def test_a_folder_that_exists_is_left_alone(backbone, data, tmp_path):
    (tmp_path / "f").mkdir()
    with pytest.raises(FileExistsError, match="f exists already; choose a new folder"):
        extract_to_folder(backbone, data, tmp_path / "f", preprocessing=PART)
    with pytest.raises(FileNotFoundError, match=r"folder of .*no/f must exist; make"):
        extract_to_folder(backbone, data, tmp_path / "no" / "f", preprocessing=PART)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def near(features, backbone, data):
    expected = extract(backbone, data, preprocessing=PART).features
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 256])
@pytest.mark.parametrize("shard_rows", [1, 3, 4, 99])
def test_damaged_files_are_left_out_with_their_labels_and_counted(
    shard_rows, batch_size, backbone, data, paths, tmp_path
):
    files = ImageSet(ImageFiles(paths), data.labels, data.class_names)
    done = extract_to_folder(
        backbone,
        files,
        tmp_path / "f",
        preprocessing=PART,
        batch_size=batch_size,
        shard_rows=shard_rows,
        skip_damaged=True,
    )
    assert (done.n_images, done.n_damaged) == (8, 3)
    loaded = FeatureSet.load(tmp_path / "f")
    assert loaded.labels.tolist() == data.labels[WHOLE].tolist()
    assert loaded.class_names == data.class_names
    near(loaded.features, backbone, data.subset(WHOLE))


def test_a_damaged_file_is_named_and_can_be_skipped_from_there(
    backbone, data, paths, tmp_path
):
    files = ImageSet(ImageFiles(paths), data.labels)
    options = {"preprocessing": PART, "shard_rows": 2}
    expected = r"/3\.png must be a whole image; .*or skip what cannot be read"
    with pytest.raises(ValueError, match=expected):
        extract_to_folder(backbone, files, tmp_path / "f", **options)
    first = tmp_path / ".f.partial" / "part-00000.safetensors"
    assert first.exists()
    paths[0].unlink()
    paths[1].unlink()
    done = extract_to_folder(
        backbone, files, tmp_path / "f", skip_damaged=True, **options
    )
    assert (done.n_images, done.n_damaged) == (8, 3)
    near(FeatureSet.load(tmp_path / "f").features[:2], backbone, data.subset(WHOLE[:2]))


def test_what_was_skipped_is_read_again_if_it_must_be_whole(
    backbone, data, paths, tmp_path, monkeypatch
):
    files = ImageSet(ImageFiles(paths), data.labels)
    options = {"preprocessing": PART, "shard_rows": 4}
    with monkeypatch.context() as patch:
        # Two shards are written, the third is not.
        save = room.save_columns
        calls = iter([save, save])
        patch.setattr(room, "save_columns", lambda *words: next(calls)(*words))
        with pytest.raises(StopIteration):
            extract_to_folder(
                backbone, files, tmp_path / "f", skip_damaged=True, **options
            )
    with pytest.raises(ValueError, match=r"/3\.png must be a whole image"):
        extract_to_folder(backbone, files, tmp_path / "f", **options)
    for number in (3, 4, 10):
        paths[number].write_bytes(paths[0].read_bytes())
    done = extract_to_folder(backbone, files, tmp_path / "f", **options)
    assert (done.n_images, done.n_damaged) == (11, 0)


def test_if_all_files_are_damaged_there_is_nothing_to_write(
    backbone, data, paths, tmp_path
):
    files = ImageSet(ImageFiles(paths), data.labels).subset([3, 4, 10])
    with pytest.raises(ValueError, match="must be readable; none of 3 is"):
        extract_to_folder(
            backbone, files, tmp_path / "f", preprocessing=PART, skip_damaged=True
        )
    assert not (tmp_path / "f").exists()


def test_in_memory_a_damaged_file_is_an_error(backbone, data, paths):
    files = ImageSet(ImageFiles(paths), data.labels)
    with pytest.raises(ValueError, match=r"/3\.png must be a whole image"):
        extract(backbone, files, preprocessing=PART)
