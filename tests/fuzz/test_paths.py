"""Nothing outside of the folder that was given is read, and no pipe or device."""

import os

import numpy as np
import pytest
from PIL import Image

from headtail import FeatureSet, load_head
from headtail.datasets import image_folder, image_list, load_images, load_splits
from headtail.datasets import read_list as read_paths
from headtail.datasets.image_files import read_image
from headtail.files import stays_below, write_tensors
from headtail.report import load_report
from headtail.training import ImageClassifier, build_backbone, load_recipe, new_head


@pytest.fixture
def data(tmp_path):
    """Return a root with one image, and another image beside the root."""
    root = tmp_path / "root"
    (root / "cat").mkdir(parents=True)
    for path in (root / "cat" / "1.png", tmp_path / "private.png"):
        Image.new("RGB", (3, 2)).save(path)
    return root


@pytest.mark.parametrize(
    "path",
    [
        "../private.png",
        "cat/../../private.png",
        "cat/../../root/../private.png",
        "{outside}/private.png",
        "./../private.png",
        "/etc/hostname",
        "/dev/zero",
        "../root2/1.png",
    ],
    ids=["up", "down and up", "in and out", "whole", "dot", "etc", "device", "prefix"],
)
def test_paths_in_lists_stay_below_the_root(path, data):
    path = path.format(outside=data.parent)
    (data / "a.txt").write_text(f"cat/1.png 0\n\n{path} 0\n")
    message = rf"a\.txt must stay below .*root; line 3 leads out of it: '.*{path[-9:]}"
    with pytest.raises(ValueError, match=message):
        image_list(data / "a.txt", data)
    with pytest.raises(ValueError, match=message):
        load_images(data / "a.txt")
    # Nobody said where the paths begin, and nothing is read.
    assert len(read_paths(data / "a.txt").paths) == 2


def test_lists_of_splits_stay_below_their_folder(data):
    (data / "train.txt").write_text("../private.png 0\n")
    with pytest.raises(ValueError, match=r"train\.txt must stay below .*line 1"):
        load_splits(data)


@pytest.mark.parametrize(
    "path",
    ["cat/../cat/1.png", "{root}/cat/1.png", "cat/./1.png", "cat//1.png"],
    ids=["up and down", "whole", "dot", "twice"],
)
def test_paths_inside_of_the_root_are_read(path, data):
    (data / "a.txt").write_text(f"{path.format(root=data)} 0\n")
    assert image_list(data / "a.txt", data).images[0].shape == (2, 3, 3)


def test_dots_in_names_lead_nowhere(data):
    (data / "cat" / "1.png").rename(data / "cat" / "a..b:c.png")
    (data / "a.txt").write_text("cat/a..b:c.png 0\n")
    assert len(image_list(data / "a.txt", data)) == 1
    assert stays_below("a", "..b/c")


@pytest.mark.parametrize("name", ["a\0b.png", "cat/1.png\0", "\0"], ids=str.__len__)
def test_nul_is_in_no_path(name, data):
    (data / "a.txt").write_text(f"{name} 0\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 1 do not: \['.*\\x00"):
        image_list(data / "a.txt", data)


def test_pipes_and_devices_are_no_files(data):
    os.mkfifo(data / "cat" / "2.png")
    (data / "zero.png").symlink_to("/dev/zero")
    for name in ("cat/2.png", "zero.png"):
        (data / "a.txt").write_text(f"{name} 0\n")
        with pytest.raises(FileNotFoundError, match=r"All files of .*1 of 1 do not"):
            image_list(data / "a.txt", data)
        with pytest.raises(OSError, match=r"must be a file; it is something else"):
            read_image(data / name)
    with pytest.raises(OSError, match=r"2\.png must be a file"):
        image_folder(data).images[1]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet", ".txt"])
def test_a_pipe_is_not_waited_for(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    os.mkfifo(path)
    loaders = {".txt": [read_paths, load_images], ".safetensors": [load_head]}
    for load in loaders.get(suffix, [FeatureSet.load]):
        with pytest.raises(OSError, match=rf"a\{suffix} is a pipe or a device"):
            load(path)


@pytest.mark.parametrize("load", [load_report, load_recipe])
def test_pipes_of_text_are_not_waited_for(load, tmp_path):
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(OSError, match=r"a\.toml is a pipe or a device"):
        load(tmp_path / "a.toml")


def test_links_among_images_are_followed(data):
    elsewhere = data.parent / "store"
    (data / "cat").rename(elsewhere)
    (data / "cat").symlink_to(elsewhere, target_is_directory=True)
    (data / "a.txt").write_text("cat/1.png 0\n")
    assert len(image_folder(data)) == len(image_list(data / "a.txt", data)) == 1


def test_links_out_of_a_folder_of_shards_are_refused(tmp_path):
    data = FeatureSet(np.ones((2, 3), np.float32), [0, 1])
    data.save(tmp_path / "private.npz")
    (tmp_path / "shards").mkdir()
    data.save(tmp_path / "shards" / "a.npz")
    link = tmp_path / "shards" / "b.npz"
    link.symlink_to(tmp_path / "private.npz")
    with pytest.raises(ValueError, match=r"b\.npz must be a file of the folder itself"):
        FeatureSet.load(tmp_path / "shards")
    link.unlink()
    link.symlink_to("a.npz")
    assert len(FeatureSet.load(tmp_path / "shards")) == 4
    # The folder itself, and one file, are what the caller named.
    (tmp_path / "way").symlink_to(tmp_path / "shards", target_is_directory=True)
    assert len(FeatureSet.load(tmp_path / "way")) == 4
    link.unlink()
    link.symlink_to(tmp_path / "private.npz")
    assert len(FeatureSet.load(link)) == 2


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_shards_are_files(kind, tmp_path):
    (os.mkfifo if kind == "pipe" else os.mkdir)(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz must be a file of the folder itself"):
        FeatureSet.load(tmp_path)


@pytest.mark.parametrize("below", ["../b.toml", "{outside}/b.toml", "x/../../b.toml"])
def test_recipes_extend_files_of_their_own_folder(below, tmp_path):
    (tmp_path / "b.toml").write_text('title = "a"')
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "a.toml"
    path.write_text(f'extends = "{below.format(outside=tmp_path)}"')
    with pytest.raises(ValueError, match=r"a\.toml must extend a file in its own fold"):
        load_recipe(path)


@pytest.mark.parametrize(
    "spec",
    [
        {"weights": "hub"},
        {"weights": "/etc/hostname"},
        {"width": 10**6},
        {"width": 0},
        {"width": 1.0},
        {"name": "hf-hub:somebody/something"},
        {"seed": 3},
    ],
    ids=["hub", "file", "wide", "none", "float", "name", "seed"],
)
def test_a_network_comes_from_its_file_alone(spec, tmp_path):
    backbone = build_backbone("resnet20")
    model = ImageClassifier(backbone, new_head("linear", backbone.n_features, 2))
    facts = {
        "backbone": backbone.spec() | spec,
        "preprocessing": model.preprocessing.spec(),
        "class_names": None,
        "class_counts": None,
    }
    told = {"image_classifier": facts, "head": model.head.spec(), "classes": None}
    write_tensors(tmp_path / "a.safetensors", model.state_dict(), told)
    with pytest.raises(ValueError, match=r"a\.safetensors must hold a network whose"):
        ImageClassifier.load(tmp_path / "a.safetensors")
