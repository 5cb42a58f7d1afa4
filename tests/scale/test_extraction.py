import json
import math
import pickle
from dataclasses import replace

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from headtail import FeatureSet
from headtail.datasets import ImageSet, Preprocessing, load_images
from headtail.features import extract, extract_to_folder
from headtail.features.columns import Columns
from headtail.scale import extract_images
from headtail.scale import extraction as room
from headtail.scale.extractor import Extractor, Work, packed
from headtail.scale.remote_folder import RemoteFolder
from headtail.training import build_backbone

NAMES = ("ox", "yak")
PART = Preprocessing(mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
SIZES = [3, 5, 2]


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("resnet20", seed=1)


@pytest.fixture
def shards(tmp_path):
    """Write images as three shards; return their folder."""
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number, size in enumerate(SIZES):
        images = generator.integers(0, 256, (size, 8, 8, 3), np.uint8)
        labels = generator.integers(0, 2, size)
        path = tmp_path / "images" / f"{number}.npz"
        np.savez(path, images=images, labels=labels, class_names=NAMES)
    return tmp_path / "images"


@pytest.fixture
def small(monkeypatch):
    """Cut one data set into shards of four images."""
    monkeypatch.setattr(room, "SHARD_ROWS", 4)


def fetched(address, folder):
    """Copy what is at an address into a new folder; return that."""
    folder.mkdir()
    system, path = fsspec.core.url_to_fs(address)
    for found in system.ls(path, detail=False):
        (folder / found.rsplit("/", 1)[-1]).write_bytes(system.cat_file(found))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_shards(folder, shards, backbone):
    """Compare every shard with the features of its images alone."""
    names = [f"part-{n:05}.safetensors" for n in range(len(SIZES))]
    assert sorted(contents(folder)) == ["extraction.json", *names]
    for number, name in enumerate(names):
        data = load_images(shards / f"{number}.npz")
        found = FeatureSet.load(folder / name)
        expected = extract(backbone, data, preprocessing=PART).features
        np.testing.assert_allclose(found.features, expected, rtol=1e-4, atol=1e-5)
        assert found.labels.tolist() == data.labels.tolist()
        assert found.class_names == NAMES


@pytest.mark.parametrize("place", ["path", "file", "memory"])
def test_each_shard_of_images_becomes_one_of_features(
    place, shards, backbone, memory, upload, tmp_path
):
    source, output = {
        "path": (shards, tmp_path / "f"),
        "file": (f"file://{shards}", f"file://{tmp_path}/f"),
        "memory": (f"{memory}/images", f"{memory}/f/"),
    }[place]
    upload(shards, f"{memory}/images")
    done = extract_images(backbone, source, output, preprocessing=PART)
    assert (done.n_images, done.n_damaged) == (10, 0)
    assert 0 < done.images_per_s < math.inf
    folder = tmp_path / "f"
    if place == "memory":
        folder = fetched(output, tmp_path / "copy")
    assert_shards(folder, shards, backbone)
    assert FeatureSet.load(folder).features.shape == (10, 64)
    with pytest.raises(FileExistsError, match="choose a new folder"):
        extract_images(backbone, source, output, preprocessing=PART)


@pytest.mark.usefixtures("small")
def test_one_data_set_gives_the_shards_of_the_local_engine(backbone, memory, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (11, 8, 8, 3), np.uint8)
    for number, image in enumerate(pixels):
        path = tmp_path / "images" / NAMES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    path.write_bytes(b"no image")
    options = {"preprocessing": PART, "views": 2, "skip_damaged": True}
    expected = extract_to_folder(
        backbone.to(memory_format=torch.channels_last),
        load_images(tmp_path / "images"),
        tmp_path / "local",
        shard_rows=4,
        **options,
    )
    done = extract_images(backbone, tmp_path / "images", memory, **options)
    assert (done.n_images, done.n_damaged) == (10, 1)
    assert (expected.n_images, expected.n_damaged) == (10, 1)
    assert contents(fetched(memory, tmp_path / "copy")) == contents(tmp_path / "local")
    assert done.folder == memory


def test_a_path_goes_the_old_way(shards, backbone, tmp_path):
    done = extract_images(backbone, shards / "0.npz", tmp_path / "f")
    assert done.folder == tmp_path / "f"
    found = FeatureSet.load(tmp_path / "f").features
    data = load_images(shards / "0.npz")
    part = backbone.preprocessing
    expected = extract(backbone, data, preprocessing=part).features
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def failing(monkeypatch):
    """Let extraction fail at a shard; return what was begun."""
    begun, call = [], Extractor.__call__

    def extract_but(self, item):
        begun.append(item["shard"])
        if failing.at in item["shard"]:
            raise OSError("the power went")
        return call(self, item)

    def failing(at):
        failing.at = at
        return begun

    monkeypatch.setattr(Extractor, "__call__", extract_but)
    return failing


@pytest.mark.parametrize("remote", [False, True])
def test_what_was_broken_off_goes_on(
    remote, failing, shards, backbone, memory, tmp_path
):
    output = memory if remote else tmp_path / "f"
    begun = failing("00001")
    with pytest.raises(OSError, match="the power went"):
        extract_images(backbone, shards, output, preprocessing=PART)
    system, path = fsspec.core.url_to_fs(memory)
    if remote:
        found = {name.rsplit("/", 1)[-1] for name in system.ls(path, detail=False)}
        assert found == {".extraction.begun.json", "part-00000.safetensors"}
        # What a killed process leaves.
        system.pipe_file(f"{path}/.part-00001.safetensors.1", b"half")
    else:
        assert not output.exists()
        assert (tmp_path / ".f.partial" / "part-00000.safetensors").exists()
        (tmp_path / ".f.partial" / ".part-00001.safetensors.x").mkdir()
    with pytest.raises(
        FileExistsError, match=r"another extraction: \['views'\] differ"
    ):
        extract_images(backbone, shards, output, preprocessing=PART, views=2)
    begun.clear()
    failing("never")
    done = extract_images(backbone, shards, output, preprocessing=PART)
    assert begun == ["part-00001.safetensors", "part-00002.safetensors"]
    assert (done.n_images, done.n_damaged) == (10, 0)
    assert_shards(
        fetched(memory, tmp_path / "copy") if remote else output, shards, backbone
    )


@pytest.mark.usefixtures("small")
def test_what_was_skipped_is_read_again_if_it_must_be_whole(backbone, memory, tmp_path):
    (tmp_path / "images" / "ox").mkdir(parents=True)
    paths = [tmp_path / "images" / "ox" / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    whole = paths[2].read_bytes()
    paths[2].write_bytes(b"no image")
    options = {"preprocessing": PART}
    source = tmp_path / "images"
    extract_images(backbone, source, memory, skip_damaged=True, **options)
    system, path = fsspec.core.url_to_fs(memory)
    system.mv(f"{path}/extraction.json", f"{path}/.extraction.begun.json")
    again = extract_images(backbone, source, memory, skip_damaged=True, **options)
    # Nothing was left to do.
    assert (again.n_images, math.isnan(again.images_per_s)) == (4, True)
    system.mv(f"{path}/extraction.json", f"{path}/.extraction.begun.json")
    with pytest.raises(ValueError, match=r"2\.png must be a whole image"):
        extract_images(backbone, source, memory, **options)
    paths[2].write_bytes(whole)
    assert extract_images(backbone, source, memory, **options).n_images == 5


def test_what_a_killed_worker_leaves_is_not_in_the_folder(
    shards, backbone, tmp_path, monkeypatch
):
    call = Extractor.__call__

    def extract_after(self, item):
        (tmp_path / ".f.partial" / f".{item['shard']}.x").mkdir()
        return call(self, item)

    monkeypatch.setattr(Extractor, "__call__", extract_after)
    extract_images(backbone, shards, tmp_path / "f", preprocessing=PART)
    assert_shards(tmp_path / "f", shards, backbone)


def test_other_images_are_another_extraction(failing, shards, backbone, memory):
    failing("00000")
    with pytest.raises(OSError, match="the power went"):
        extract_images(backbone, shards, memory, preprocessing=PART)
    (shards / "2.npz").rename(shards / "3.npz")
    with pytest.raises(FileExistsError, match=r"another extraction: \['images'\] diff"):
        extract_images(backbone, shards, memory, preprocessing=PART)


def test_shards_of_other_classes_are_refused(shards, backbone, tmp_path):
    data = load_images(shards / "1.npz")
    arrays = {"images": data.images, "labels": data.labels}
    np.savez(shards / "1.npz", **arrays, class_names=NAMES[::-1])
    with pytest.raises(ValueError, match="same class names; those of part-00001"):
        extract_images(backbone, shards, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_bad_input_is_named(shards, backbone, tmp_path):
    (shards / "1.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"1\.npz must be a whole \.npz file"):
        extract_images(backbone, shards, tmp_path / "f")
    with pytest.raises(ValueError, match=r"one of \(1, 2, 10\); got 3"):
        extract_images(backbone, shards, tmp_path / "g", views=3)
    with pytest.raises(ValueError, match="is in the memory of one process"):
        extract_images(backbone, shards, "memory://g", engine="ray")
    with pytest.raises(ValueError, match="address is that of a Ray cluster; got 'a'"):
        extract_images(backbone, shards / "0.npz", tmp_path / "g", address="a")
    with pytest.raises(ValueError, match="engine must be one of"):
        extract_images(backbone, shards, tmp_path / "g", engine="spark")
    empty = ImageSet(np.empty((0, 8, 8, 3), np.uint8), np.empty(0, np.int64))
    for path in shards.iterdir():
        np.savez(path, images=empty.images, labels=empty.labels)
    with pytest.raises(ValueError, match="must hold an image that is whole; none is"):
        extract_images(backbone, shards, tmp_path / "h")
    assert not (tmp_path / "h").exists()


def test_a_folder_of_class_folders_is_none_of_shards(shards, backbone, tmp_path):
    (shards / "ox").mkdir()
    Image.new("RGB", (8, 8)).save(shards / "ox" / "1.png")
    done = extract_images(backbone, shards, tmp_path / "f")
    assert done.n_images == 1


def work_of(backbone, data, path, memory):
    return Work(
        **packed(backbone),
        output=RemoteFolder(memory),
        images=str(path),
        fingerprint=data.fingerprint(),
        device="cpu",
        preprocessing=PART,
        views=1,
        batch_size=2,
        bf16=False,
        n_workers=0,
        skip_damaged=False,
    )


def test_a_worker_that_was_sent_elsewhere_does_the_same(shards, backbone, memory):
    data = load_images(shards / "1.npz")
    work = work_of(backbone, data, shards / "1.npz", memory)
    RemoteFolder(memory).begin({})
    extractor = Extractor(pickle.loads(pickle.dumps(work)))
    item = {"shard": "part-00007.safetensors", "start": 1, "stop": 4}
    assert extractor(item)["n_images"] == 3
    assert RemoteFolder(memory).rows_in("part-00007.safetensors") == 3
    assert RemoteFolder(memory).rows_in("part-00008.safetensors") == 0
    other = Extractor(replace(work, images=str(shards / "0.npz")))
    with pytest.raises(ValueError, match=r"0\.npz must hold the same images on every"):
        other(item)


def test_a_remote_folder_that_holds_something_is_left_alone(memory):
    system, path = fsspec.core.url_to_fs(memory)
    system.pipe_file(f"{path}/mine.txt", b"1")
    with pytest.raises(FileExistsError, match="holds something already"):
        RemoteFolder(memory).begin({"a": 1})
    assert [name.rsplit("/")[-1] for name in system.ls(path, detail=False)] == [
        "mine.txt"
    ]


def test_a_shard_takes_its_name_when_it_is_whole(memory, monkeypatch):
    system, path = fsspec.core.url_to_fs(memory)
    folder = RemoteFolder(memory)
    folder.begin({})
    columns = Columns(np.ones((2, 3), np.float32), np.array([0, 1]), None)
    with monkeypatch.context() as patch:
        patch.setattr(type(system), "mv", None)
        with pytest.raises(OSError, match="must be an address that can be reached"):
            folder.save("part-00000.safetensors", columns)
    assert folder.rows_in("part-00000.safetensors") == 0
    assert len(system.ls(path)) == 2
    folder.save("part-00000.safetensors", columns)
    folder.finish()
    found = sorted(name.rsplit("/")[-1] for name in system.ls(path, detail=False))
    assert found == ["extraction.json", "part-00000.safetensors"]


def test_the_spec_stands_in_the_last_file(shards, backbone, memory, tmp_path):
    extract_images(backbone, shards, memory, preprocessing=PART, bf16=False)
    spec = json.loads((fetched(memory, tmp_path / "f") / "extraction.json").read_text())
    assert spec["preprocessing"] == json.loads(json.dumps(PART.spec()))
    assert (spec["views"], spec["bf16"], spec["shard_rows"]) == (1, False, None)
