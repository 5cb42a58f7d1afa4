import json
import re

import numpy as np
import pytest
from PIL import Image

from headtail import FeatureSet
from headtail.datasets import Preprocessing, load_images
from headtail.features import extract
from headtail.training import ImageClassifier, build_backbone, new_head

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
FILES = ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png", "dog/c.png"]
SPEED = r"[\d,]+ images/s\.\n"


@pytest.fixture
def network():
    """Return a network whose preprocessing is not its backbone's own."""
    part = Preprocessing(mean=(0.1, 0.2, 0.3), std=(1, 1, 1), size=7, resize=8)
    backbone = build_backbone("resnet20", seed=4)
    return ImageClassifier(backbone, new_head("linear", 64, 2), part)


@pytest.fixture
def folder(tmp_path, network):
    """Write a run, a network, and images as a folder, arrays and a list."""
    (tmp_path / "run").mkdir()
    network.save(tmp_path / "run" / "last.safetensors")
    network.save(tmp_path / "network.safetensors")
    for name, image in zip(FILES, PIXELS, strict=True):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    labels = [0, 0, 1, 1, 1]
    np.savez(tmp_path / "images.npz", images=PIXELS, labels=labels)
    lines = [f"{name} {label}\n" for name, label in zip(FILES, labels, strict=True)]
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path


def assert_is(features, network, data, **options):
    expected = extract(
        network.backbone, data, preprocessing=network.preprocessing, **options
    )
    loaded = FeatureSet.load(features)
    np.testing.assert_allclose(loaded.features, expected.features, rtol=1e-4, atol=1e-5)
    assert loaded.labels.tolist() == data.labels.tolist()
    assert loaded.class_names == data.class_names


@pytest.mark.parametrize("source", ["run", "network.safetensors"])
@pytest.mark.parametrize("data", ["images", "images.npz"])
def test_features_are_those_of_the_trained_backbone(source, data, folder, network, run):
    code, out, err = run("extract", source, data, "-o", "features")
    assert (code, out) == (0, "features: 5 images\n")
    assert re.fullmatch(SPEED, err)
    assert_is(folder / "features", network, load_images(folder / data))


def test_options_reach_the_library(folder, network, run):
    words = ("extract", "run", "images", "-o", "features", "--views", "2", "--bf16")
    code, _, err = run(*words, "--batch-size", "2", "--workers", "1")
    assert code == 0, err
    spec = json.loads((folder / "features" / "extraction.json").read_text())
    assert (spec["views"], spec["bf16"]) == (2, True)
    data = load_images(folder / "images")
    options = {"preprocessing": network.preprocessing, "views": 2}
    exact = extract(network.backbone, data, **options).features
    found = FeatureSet.load(folder / "features").features
    assert 0 < np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


def test_a_backbone_by_name_has_random_weights_and_says_so(folder, run):
    code, out, err = run("extract", "resnet20", "images.npz", "-o", "features")
    assert (code, out) == (0, "features: 5 images\n")
    note = "resnet20 has random weights: give --weights for trained ones.\n"
    assert re.fullmatch(re.escape(note) + SPEED, err)
    backbone = build_backbone("resnet20")
    expected = extract(
        backbone,
        load_images(folder / "images.npz"),
        preprocessing=backbone.preprocessing,
    )
    found = FeatureSet.load(folder / "features")
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-4, atol=1e-5)


def test_a_backbone_by_name_can_have_weights(folder, network, run):
    words = ("extract", "resnet20", "images.npz", "-o", "features")
    code, _, err = run(*words, "--weights", "network.safetensors")
    assert code == 0, err
    assert re.fullmatch(SPEED, err)
    backbone = network.backbone
    expected = extract(
        backbone,
        load_images(folder / "images.npz"),
        preprocessing=backbone.preprocessing,
    )
    found = FeatureSet.load(folder / "features")
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-4, atol=1e-5)


def test_paths_of_a_list_begin_at_the_root(folder, network, run):
    code, _, err = run(
        "extract", "run", "list.txt", "--root", "images", "-o", "features"
    )
    assert code == 0, err
    data = load_images(folder / "list.txt", folder / "images")
    assert_is(folder / "features", network, data)
    code, out, err = run("extract", "run", "list.txt", "-o", "other")
    assert (code, out) == (2, "")
    assert "5 of 5 do not: ['./cat/a.png'" in err
    assert not (folder / "other").exists()


def test_damaged_files_are_left_out_and_counted(folder, network, run):
    (folder / "images" / "dog" / "b.png").write_bytes(b"no image")
    words = ("extract", "run", "images", "-o", "features")
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("Error: images/dog/b.png must be a whole image; reading it")
    assert err.count("\n") == 1
    code, out, err = run(*words, "--skip-damaged", "--json")
    assert code == 0
    facts = {"folder": "features", "n_images": 4, "n_damaged": 1}
    assert json.loads(out) == facts
    assert re.fullmatch(r"1 damaged files left out\.\n" + SPEED, err)
    data = load_images(folder / "images").subset([0, 1, 2, 4])
    assert_is(folder / "features", network, data)


def test_features_can_be_fitted(folder, run):
    run("extract", "run", "images", "-o", "features")
    code, out, err = run("fit", "features", "--method", "ncm", "-o", "head")
    assert (code, out) == (0, "head\n"), err
    assert "2 classes, 5 examples" in err


CASES = {
    "folder that exists": (
        ("run", "images", "-o", "run"),
        "run exists already; choose",
    ),
    "folder in no folder": (
        ("run", "images", "-o", "no/f"),
        "folder of no/f must exist",
    ),
    "neither run nor backbone": (("runn", "images", "-o", "f"), "got 'runn'"),
    "weights for a run": (
        ("run", "images", "-o", "f", "--weights", "network.safetensors"),
        "A run has its own weights; leave --weights out",
    ),
    "unfinished run": (("empty", "images", "-o", "f"), "empty must hold best.safetens"),
    "no network": (
        ("images.npz", "images", "-o", "f"),
        "images.npz must be a whole safetensors file",
    ),
    "no images": (("run", "gone", "-o", "f"), "gone does not exist; check the path"),
    "no class folders": (("run", "images/cat", "-o", "f"), "one folder a class"),
    "unknown kind of data": (
        ("run", "network.safetensors", "-o", "f"),
        "got '.safetensors'",
    ),
    "views": (
        ("run", "images", "-o", "f", "--views", "3"),
        "views must be one of (1, 2, 10); got 3",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line_with_exit_code_2_and_writes_nothing(case, folder, run):
    (folder / "empty").mkdir()
    words, message = CASES[case]
    before = sorted(folder.rglob("*"))
    code, out, err = run("extract", *words)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(folder.rglob("*")) == before
