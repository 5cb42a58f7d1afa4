"""Every loader obeys the law of tests/fuzz/law.py on damaged files and on noise."""

import errno
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from headtail import FeatureSet, load_classifier, load_head
from headtail.datasets import image_arrays, image_list, read_list
from headtail.datasets.image_files import naming_damage, read_image
from headtail.datasets.list_file import read_class_names
from headtail.report import load_report
from headtail.statistics import load_statistics
from headtail.training import ImageClassifier, load_recipe
from headtail.training.run_folder import RunFolder
from tests.fuzz import seeds
from tests.fuzz.law import obey
from tests.fuzz.mutations import (
    array_files,
    changed_json,
    changed_safetensors,
    damaged,
    json_bytes,
    noise,
)


@pytest.fixture(scope="module", autouse=True)
def _seeds():
    seeds.build()


quick = settings(max_examples=100)


def use_features(data):
    assert data.features.shape == (len(data), data.features.shape[1])
    assert data.labels is None or len(data.labels) == len(data)
    assert np.isfinite(data.features.astype("f8").sum())


def use_head(head):
    logits = head(torch.ones(2, head.n_features, dtype=head_dtype(head)))
    assert logits.shape == (2, head.n_classes)


def head_dtype(head):
    return next(t.dtype for t in head.state_dict().values() if t.is_floating_point())


def use_statistics(stored):
    statistics, names = stored
    assert statistics.prototypes.shape == (statistics.n_classes, statistics.n_features)
    assert names is None or len(names) == statistics.n_classes


def use_classifier(model):
    assert len(model.predict_proba(np.ones((2, model.n_features_in_)))) == 2


@quick
@given(damaged(seeds.archives) | noise)
def test_damaged_npz(content):
    obey(FeatureSet.load, content, "a.npz", use=use_features)


@quick
@given(array_files(["features", "labels", "class_names", "scale", "zero_point", "x"]))
def test_forged_npz(content):
    obey(FeatureSet.load, content, "a.npz", use=use_features)


@quick
@given(damaged(seeds.shards) | noise)
def test_damaged_safetensors(content):
    obey(FeatureSet.load, content, "a.safetensors", use=use_features)


@quick
@given(changed_safetensors(seeds.shards, "class_names"))
def test_forged_safetensors(content):
    obey(FeatureSet.load, content, "a.safetensors", use=use_features)


@quick
@given(damaged(seeds.tables) | noise)
def test_damaged_parquet(content):
    obey(FeatureSet.load, content, "a.parquet", use=use_features)


@given(damaged(seeds.shards, most=2))
def test_damaged_shards(content):
    first = FeatureSet(seeds.X, seeds.Y)

    def beside(folder):
        first.save(folder / "shards" / "a.npz")

    obey(
        lambda path: FeatureSet.load(path.parent),
        content,
        "shards/b.safetensors",
        use=use_features,
        named="shards",
        beside=beside,
    )


@given(damaged(seeds.packed_arrays) | array_files(["images", "labels", "class_names"]))
def test_image_arrays(content):
    obey(image_arrays, content, "a.npz")


@quick
@given(damaged(seeds.lists) | noise | st.text().map(str.encode))
def test_lists(content):
    obey(read_list, content, "a.txt")
    obey(read_class_names, content, "a.txt")
    obey(lambda path: image_list(path, path.parent), content, "a.txt")


@quick
@given(damaged(seeds.pictures) | noise)
def test_images(content):
    obey(read_image, content, "a.jpg", use=lambda image: image.sum())


@quick
@given(damaged(seeds.heads) | changed_safetensors(seeds.heads, "headtail"))
def test_heads(content):
    obey(load_head, content, "a.safetensors", use=use_head)


@quick
@given(changed_safetensors(seeds.classifiers, "headtail"))
def test_classifiers(content):
    obey(load_classifier, content, "a.safetensors", use=use_classifier)


@quick
@given(damaged(seeds.statistics) | changed_safetensors(seeds.statistics, "headtail"))
def test_statistics(content):
    obey(load_statistics, content, "a.safetensors", use=use_statistics)


@settings(max_examples=25)
@given(changed_safetensors(seeds.network, "headtail"))
def test_networks(content):
    obey(ImageClassifier.load, content, "a.safetensors")


RECIPE = """title = "a"
extends = "cifar100-lt/ce"
name = "mine"
[backbone]
name = "resnet32"
[head]
kind = "cosine"
[optimization]
learning_rate = 0.1
batch_size = 64
[schedule]
n_epochs = 3
decay = "steps"
milestones = [1, 2]
[augmentation]
crop = "pad"
padding = 2
[preprocessing]
size = 32
[training]
sampling = "sqrt"
[method]
name = "ncm"
"""
VALUES = [
    '""', "1", "-1", "0.5", "nan", "inf", "true", "[]", "{}", "'../a.toml'", "'a.toml'",
    "1" * 5000, "[" * 3000 + "]" * 3000, "1979-05-27", '"\\u0000"', "'hub'", "1 2", "",
    "[[1], {}]",
]  # fmt: skip


@st.composite
def recipes(draw):
    lines = RECIPE.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        value = draw(st.sampled_from(VALUES))
        kind = draw(st.sampled_from(["value", "value", "top", "drop", "repeat", "key"]))
        if kind == "value":
            lines[at] = re.sub(r"=.*", lambda _, v=value: f"= {v}", lines[at])
        elif kind == "top":
            names = ["schedule", "backbone", "training", "extends", "title", "x"]
            lines.insert(0, f"{draw(st.sampled_from(names))} = {value}")
        elif kind == "drop" and len(lines) > 1:
            del lines[at]
        elif kind == "repeat":
            lines.insert(at, lines[at])
        else:
            lines[at] = lines[at].replace(draw(st.sampled_from("aen[]")), "x.y")
    return "\n".join(lines).encode()


@quick
@given(recipes() | damaged(lambda: {"recipe": RECIPE.encode()}) | noise)
def test_recipes(content):
    obey(load_recipe, content, "a.toml")


SETTINGS = {"seed": 1, "loss": {"name": "focal"}, "counts": [3, 2]}


@given(changed_json(SETTINGS).map(json_bytes) | noise)
def test_settings_of_runs(content):
    def load(path):
        return RunFolder(path.parent, SETTINGS)

    obey(load, content, "run/settings.json", named="run")


@given(damaged(seeds.states) | noise)
def test_states_of_runs(content):
    def load(path):
        return RunFolder(path.parent, SETTINGS).read_state()

    obey(load, content, "run/state.pt", named="run")


@st.composite
def reports(draw):
    tree = json.loads(seeds.reports()["report"])
    return json_bytes(draw(changed_json(tree)))


@given(reports() | damaged(seeds.reports) | noise)
def test_reports(content):
    obey(load_report, content, "report.json")


def test_a_place_before_the_file_is_damage():
    message = r"a\.tif must be a whole image"
    with pytest.raises(ValueError, match=message), naming_damage("a.tif"):
        raise OSError(errno.EINVAL, "Invalid argument")


@pytest.mark.parametrize("text", ["[[1], {}]", "'a'", "3"])
@pytest.mark.parametrize("key", ["schedule", "backbone", "method"])
def test_a_recipe_whose_tables_are_none_is_named(key, text, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(f"{key} = {text}")
    with pytest.raises(TypeError, match=rf"a\.toml must have a table as '{key}'"):
        load_recipe(path)


def test_a_recipe_that_extends_itself_is_named(tmp_path):
    (tmp_path / "a.toml").write_text('extends = "b.toml"')
    (tmp_path / "b.toml").write_text('extends = "a.toml"')
    with pytest.raises(ValueError, match=r"b\.toml must extend a recipe that ends"):
        load_recipe(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text('extends = "c.toml"')
    with pytest.raises(FileNotFoundError, match=r"b\.toml extends it: .*c\.toml does"):
        load_recipe(tmp_path / "a.toml")


def test_postscript_is_never_run(tmp_path):
    (tmp_path / "a.jpg").write_bytes(seeds.pictures()["EPS"])
    with pytest.raises(ValueError, match=r"a\.jpg .*PostScript, which is never run"):
        read_image(tmp_path / "a.jpg")


def test_numbers_that_numpy_lacks_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"features": torch.ones(2, 3).to(torch.float8_e4m3fn)}, path)
    with pytest.raises(ValueError, match=r"a\.safetensors must be a whole"):
        FeatureSet.load(path)
