import csv
import json

import numpy as np
import pytest
import torch

from headtail import CosineHead, FeatureSet, load_classifier, load_head
from headtail.evaluation.metrics import FIGURES
from headtail.methods import _trained
from headtail.methods._training import train
from headtail.registry import METHODS, recommended_method
from headtail.workflow import evaluate_classifier, fit_method


def test_fit_without_a_method_fits_the_recommended_one(files, run):
    code, out, err = run("fit", "train.npz", "-o", "head.safetensors")
    name = recommended_method().estimator.__name__
    assert (code, out) == (0, "head.safetensors\n")
    assert err == f"{name}: 4 classes, 51 examples.\n"
    assert type(load_classifier(files / "head.safetensors")).__name__ == name


@pytest.mark.filterwarnings("ignore:n_neighbors is:UserWarning")
@pytest.mark.parametrize("method", [row.name for row in METHODS])
def test_fit_writes_what_the_library_fits(method, files, run):
    words = ("fit", "train.npz", "--method", method, "--seed", "3", "-o", "a")
    assert run(*words)[0] == 0
    data = FeatureSet.load(files / "train.npz")
    expected = fit_method(data, method, random_state=3)
    np.testing.assert_array_equal(
        load_classifier(files / "a").predict_proba(data.features),
        expected.predict_proba(data.features),
    )


@pytest.mark.parametrize(
    ("setting", "donors"), [("donors=20", (20,)), ("donors=[0,20]", (0, 20))]
)
def test_fit_composes_a_trained_head_with_parameters(setting, donors, files, run):
    weight = torch.eye(4, 6, dtype=torch.float64)
    CosineHead(weight, 8.0, classes=[0, 1, 2, 3]).save(files / "base")
    words = ("fit", "train.npz", "--base", "base", "--set", setting)
    assert run(*words, "--set", "temperature=5.5", "-o", "a")[0] == 0
    classifier = load_classifier(files / "a")
    assert classifier.donors_ == donors
    assert classifier.temperature == 5.5
    assert classifier.base_head_.weight.equal(weight)
    assert load_head(files / "a").n_classes == 4


def test_fit_reads_a_setting_that_is_no_json_as_text(files, run):
    words = ("fit", "train.npz", "--method", "ncm", "--set", "metric=centered")
    assert run(*words, "-o", "a")[0] == 0
    assert load_classifier(files / "a").metric == "centered"


def test_fit_names_the_classes_without_example(files, run):
    FeatureSet(np.eye(3), [0, 2, 2], [*"abcd"]).save(files / "some.npz")
    code, _, err = run("fit", "some.npz", "--method", "ncm", "-o", "a")
    assert code == 0
    assert err.splitlines()[-1] == "Without example, so not learned: b, d."


def test_evaluate_prints_the_table_of_the_library(files, head, run):
    classifier, data = load_classifier(head), FeatureSet.load(files / "test.npz")
    expected = evaluate_classifier(classifier, data)
    assert run("evaluate", "head.safetensors", "test.npz") == (
        0,
        expected.to_text() + "\n",
        "",
    )


def test_evaluate_prints_json_with_convention_and_seed(files, head, run):
    words = ("evaluate", "head.safetensors", "test.npz", "--json")
    code, out, err = run(*words, "--convention", "ckt", "--seed", "4")
    classifier, data = load_classifier(head), FeatureSet.load(files / "test.npz")
    expected = evaluate_classifier(classifier, data, convention="ckt", seed=4)
    assert (code, err) == (0, "")
    assert json.loads(out) == expected.as_json()
    assert set(json.loads(out)) == {*FIGURES, "convention"}


def test_predict_writes_a_csv_line_per_sample(files, head, run):
    code, out, err = run("predict", "head.safetensors", "test.npz", "-o", "p.csv")
    assert (code, out, err) == (0, "p.csv\n", "")
    with (files / "p.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    data = FeatureSet.load(files / "test.npz")
    proba = load_classifier(head).predict_proba(data.features)
    names = np.asarray(data.class_names)
    assert [row["true"] for row in rows] == names[data.labels].tolist()
    assert [row["label"] for row in rows] == names[proba.argmax(1)].tolist()
    assert [row["top1"] for row in rows] == [row["label"] for row in rows]
    assert [float(row["probability"]) for row in rows] == proba.max(1).tolist()
    assert [float(row["top4_probability"]) for row in rows] == proba.min(1).tolist()
    assert "top5" not in rows[0]  # there are four classes


def test_predict_writes_npz_that_needs_no_pickle(files, head, run):
    data = FeatureSet.load(files / "test.npz")
    FeatureSet(data.features, None).save(files / "bare.npz")
    assert run("predict", "head.safetensors", "bare.npz", "-o", "p.npz")[0] == 0
    with np.load(files / "p.npz", allow_pickle=False) as file:
        assert set(file) == {"label", "probability", "top5", "top5_probability"}
        proba = load_classifier(head).predict_proba(data.features)
        np.testing.assert_array_equal(file["probability"], proba.max(axis=1))
        assert file["top5"].shape == (30, 4)
        assert file["top5"][:, 0].tolist() == file["label"].tolist()


def test_add_writes_a_larger_head_and_leaves_the_first(files, head, run):
    before = head.read_bytes()
    code, out, err = run("add", "head.safetensors", "new.npz", "-o", "more")
    assert (code, out) == (0, "more\n")
    assert err == "10 examples added, 2 new classes (emu, fox).\n"
    larger = load_classifier(files / "more")
    assert larger.class_names_ == ("ant", "bee", "cat", "dog", "emu", "fox")
    assert larger.class_counts_.tolist() == [33, 12, 6, 4, 2, 4]
    assert head.read_bytes() == before


def test_an_added_class_is_evaluated_by_its_name(files, head, run):
    assert run("add", "head.safetensors", "new.npz", "-o", "head.safetensors")[0] == 0
    code, out, _ = run("evaluate", "head.safetensors", "new.npz", "--json")
    assert code == 0
    assert json.loads(out)["all"]["n_classes"] == 4


def test_add_says_when_no_class_is_new(files, head, run):
    _, _, err = run("add", "head.safetensors", "test.npz", "-o", "more")
    assert err == "30 examples added, 0 new classes.\n"


def test_info_prints_indented_lines_or_json(files, head, run):
    code, out, err = run("info", "head.safetensors")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:4] == [
        "holds: classifier",
        "method: ncm",
        "parameters:",
        "  metric: cosine",
    ]
    assert "  few: 3" in lines
    code, out, _ = run("info", "head.safetensors", "--json")
    assert json.loads(out)["training"]["few"] == 3


def test_info_shows_a_parameter_that_is_none_as_a_dash(files, run):
    words = ("fit", "train.npz", "--method", "linear", "--set", "epochs=1")
    assert run(*words, "-o", "a.safetensors")[0] == 0
    assert "  device: –" in run("info", "a.safetensors")[1].splitlines()  # noqa: RUF001


def test_info_tells_features(files, run):
    code, out, _ = run("info", "train.npz", "--json")
    assert code == 0
    assert json.loads(out)["labels"]["imbalance_ratio"] == 10.0


def test_compare_prints_the_table_that_it_writes(files, run):
    words = ("compare", "train.npz", "test.npz", "--methods", "linear, ncm")
    code, out, err = run(*words, "--reference", "ncm", "-o", "run")
    assert (code, err) == (0, "Written to run.\n")
    assert (files / "run/comparison.txt").read_text("utf-8") == out
    assert [line.split()[0] for line in out.splitlines()[2:]] == [
        "classes",
        "linear",
        "ncm",
    ]
    assert out.splitlines()[0].endswith("all - ncm")
    names = {path.name for path in (files / "run/predictions").iterdir()}
    assert names == {"linear.npz", "ncm.npz"}


def test_compare_prints_json_with_all_methods_by_default(files, run, monkeypatch):
    monkeypatch.setattr(
        _trained, "train", lambda *a, **k: train(*a, **k | {"epochs": 1})
    )
    code, out, err = run("compare", "train.npz", "test.npz", "--json", "--seed", "2")
    assert code == 0
    # Of four classes one has 20 examples: AlphaNet says that it lacks neighbours.
    assert all("n_neighbors is 5" in line for line in err.splitlines())
    data = json.loads(out)
    assert set(data["methods"]) == {row.name for row in METHODS}
    assert data["reference"] == METHODS[0].name
    assert data["provenance"]["random_state"] == 2


def test_compare_takes_the_convention(files, run):
    words = ("compare", "train.npz", "test.npz", "--methods", "ncm", "--json")
    for convention in ("decoupling", "ckt"):
        out = run(*words, "--convention", convention)[1]
        assert json.loads(out)["methods"]["ncm"]["convention"] == convention


def test_methods_are_listed_with_the_recommended_one_marked(run):
    code, out, err = run("methods")
    assert (code, err) == (0, "")
    for row in METHODS:
        (line,) = [x for x in out.splitlines() if x.split()[:1] == [row.name]]
        assert ("(recommended)" in line) == row.recommended


def test_methods_are_listed_as_json(run):
    code, out, _ = run("methods", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["name"] for row in rows] == [row.name for row in METHODS]
    assert rows[0]["estimator"] == METHODS[0].estimator.__name__
    assert [row["name"] for row in rows if row["recommended"]] == [
        recommended_method().name
    ]
