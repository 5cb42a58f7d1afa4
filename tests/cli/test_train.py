import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import pytest

from headtail import load_classifier
from headtail.cli import main
from headtail.datasets import glyphs, load_splits, splits
from headtail.training import load_recipe, load_run
from headtail.workflow import run_recipe

RECIPE = """
title = "Tiny network"
source = "none"

[protocol]
name = "cifar100-lt"
imbalance_ratio = 10

[backbone]
name = "resnet20"

[head]
kind = "cosine"

[preprocessing]

[augmentation]
flip = true

[optimization]
learning_rate = 0.05
batch_size = 8

[schedule]
n_epochs = 2

[method]
name = "compositional"

[method.parameters]
donors = [0]
"""
TRAIN = ("train", "--recipe", "tiny.toml", "--data", "data", "-o", "run")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train in a folder; return it, and what was printed to stdout and stderr."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "data").mkdir()
    data = glyphs([12, 6, 3], n_validation=2, n_test=4)
    for name, part in zip(("train", "val", "test"), data, strict=False):
        np.savez(
            folder / "data" / f"{name}.npz",
            images=part.images[:, ::4, ::4],
            labels=part.labels,
            class_names=part.class_names,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["headtail", *TRAIN, "--seed", "3"])
        with (
            redirect_stdout(StringIO()) as out,
            redirect_stderr(StringIO()) as err,
            pytest.raises(SystemExit, match=r"^0$"),
        ):
            main()
    return folder, out.getvalue(), err.getvalue()


@pytest.fixture
def call(trained, run, monkeypatch):
    """Run a command in the folder of the run."""

    def call(*words):
        monkeypatch.chdir(trained[0])
        return run(*words)

    return call


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_files_are_those_of_the_library_and_the_table_is_printed(trained, tmp_path):
    folder, out, err = trained
    expected = run_recipe(
        load_recipe(folder / "tiny.toml"),
        load_splits(folder / "data"),
        tmp_path / "run",
        seed=3,
    )
    table = run_recipe(
        load_recipe(folder / "tiny.toml"),
        load_splits(folder / "data"),
        folder / "run",
        seed=3,
    ).comparison
    assert out == table.to_text() + "\n"
    assert out == expected.comparison.to_text() + "\n"
    assert err == "Tiny network: written to run.\n"
    assert set(contents(folder / "run")) == set(contents(tmp_path / "run"))
    classifier = load_classifier(folder / "run" / "head.safetensors")
    assert classifier.class_names_ == ("latin d", "greek mu", "cyrillic ya")
    assert load_run(folder / "run").class_counts == (12, 6, 3)
    log = (folder / "run" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", "1", "2"]


def test_called_again_it_only_reads(trained, call):
    folder, out, err = trained
    before = contents(folder)
    assert call(*TRAIN, "--seed", "3") == (0, out, err)
    assert contents(folder) == before


def test_json_has_the_numbers_of_the_table(trained, call):
    code, out, err = call(*TRAIN, "--seed", "3", "--json")
    assert (code, err) == (0, "Tiny network: written to run.\n")
    table = json.loads(out)
    assert list(table["methods"]) == ["compositional", "trained head"]
    assert table["class_counts"] == [12, 6, 3]
    assert table["provenance"]["seed"] == 3


def test_settings_change_the_recipe(trained, call, tmp_path):
    words = (*TRAIN[:-1], str(tmp_path / "other"))
    changes = {
        "schedule.n_epochs": 1,
        "optimization.learning_rate": 0.01,
        "training.sampling": "sqrt",
        "head.scale": 5,
    }
    for name, value in changes.items():
        words += ("--set", f"{name}={value}")
    code, out, _ = call(
        *words, "--set", "method.name=ncm", "--set", "method.parameters={}"
    )
    assert code == 0
    assert "ncm" in out
    settings = json.loads((tmp_path / "other" / "settings.json").read_text())
    assert settings["schedule"]["n_epochs"] == 1
    assert settings["optimization"]["learning_rate"] == 0.01
    assert settings["sampling"] == "sqrt"
    assert settings["seed"] == 0
    log = (tmp_path / "other" / "log.csv").read_text().splitlines()
    assert len(log) == 2


def test_glyphs_need_no_files(trained, call, tmp_path, monkeypatch):
    def small(*, seed):
        return glyphs([4, 2], n_validation=0, n_test=1, seed=seed)

    monkeypatch.setattr(splits, "glyphs", small)
    words = ("train", "--recipe", "tiny.toml", "--data", "glyphs")
    words += ("--set", "schedule.n_epochs=1", "-o", str(tmp_path / "glyphs"))
    code, out, err = call(*words, "--workers", "1", "--device", "cpu")
    assert code == 0, err
    assert "compositional" in out


CASES = {
    "unknown recipe": (
        {"--recipe": "nope"},
        "recipe must be a .toml file or one of",
    ),
    "missing recipe": ({"--recipe": "gone.toml"}, "gone.toml"),
    "unknown key": (
        {"--set": "schedule.epochs=3"},
        "[schedule] has no key ['epochs']; its keys are ['n_epochs'",
    ),
    "unknown table": ({"--set": "schedul.n_epochs=3"}, "has no key ['schedul']"),
    "setting without table": ({"--set": "n_epochs=3"}, "table.key; got 'n_epochs'"),
    "setting without value": ({"--set": "schedule"}, "--set must be name=value"),
    "bad value": ({"--set": "schedule.n_epochs=0"}, "n_epochs must be at least 1"),
    "unknown method": ({"--set": "method.name=nope"}, "Unknown method 'nope'"),
    "unknown parameter": (
        {"--set": 'method.parameters={"k": 1}'},
        "'compositional' has no parameter ['k']",
    ),
    "unknown backbone": ({"--set": "backbone.name=nope"}, "got 'nope'"),
    "unknown protocol": (
        {"--data": "nothing", "--set": "protocol.name=nope"},
        "Unknown protocol 'nope'",
    ),
    "no data": ({"--data": "gone"}, "gone must hold cifar-100-binary.tar.gz"),
    "folder with another run": ({"--seed": "9"}, "seed is 3, now 9"),
    "folder with something else": (
        {"-o": "data"},
        "data must be a new or empty folder",
    ),
    "damaged image": (
        {"--data": "damaged", "-o": "new", "--workers": "1"},
        "damaged/train/a/0.png must be a whole image",
    ),
    "missing device": ({"--device": "gpu?", "-o": "new"}, "gpu?"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line_with_exit_code_2(case, trained, call):
    folder = trained[0]
    damaged = folder / "damaged" / "train"
    for name in ("a", "b"):
        (damaged / name).mkdir(parents=True, exist_ok=True)
        (damaged / name / "0.png").write_bytes(b"no image")
    before = contents(folder)
    change, message = CASES[case]
    options = (
        dict(zip(TRAIN[1::2], TRAIN[2::2], strict=True)) | {"--seed": "3"} | change
    )
    code, out, err = call("train", *[word for pair in options.items() for word in pair])
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert message in err
    kept = {
        path: content for path, content in contents(folder).items() if path in before
    }
    assert kept == before
