"""An error is one line on stderr and exit code 2; nothing is printed or written."""

import numpy as np
import pytest
import torch

from headtail import CosineHead, FeatureSet

HEAD = "head.safetensors"


@pytest.fixture
def broken(files, head):
    """Add to the good files others that are each wrong in one way."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(8, 6)), np.repeat([0, 1], 4)
    FeatureSet(features, labels, ["ant", "gnu"]).save(files / "foreign.npz")
    FeatureSet(features[:, :5], labels, ["ant", "bee"]).save(files / "narrow.npz")
    FeatureSet(features, None).save(files / "unlabelled.npz")
    FeatureSet(features, np.zeros(8, dtype=int)).save(files / "single.npz")
    holed = features.copy()
    holed[2, 1] = np.nan
    np.savez(files / "nan.npz", features=holed, labels=labels)
    np.savez(files / "pickled.npz", features=features.astype(object), labels=labels)
    np.savez(files / "other.npz", x=features)
    (files / "cut.safetensors").write_bytes(head.read_bytes()[:-40])
    CosineHead(torch.eye(4, 6)).save(files / "bare.safetensors")
    (files / "full").mkdir()
    (files / "full/mine.txt").write_text("mine")
    return files


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


FIT = ("fit", "train.npz", "--method", "ncm")
COMPARE = ("compare", "train.npz", "test.npz", "--methods", "ncm")
CASES = {
    "fit into no folder": ((*FIT, "-o", "no/a"), "The folder of no/a must exist"),
    "predict into no folder": (
        ("predict", HEAD, "test.npz", "-o", "no/p.csv"),
        "The folder of no/p.csv must exist",
    ),
    "add into no folder": (
        ("add", HEAD, "new.npz", "-o", "no/a"),
        "The folder of no/a must exist",
    ),
    "compare into no folder": (
        (*COMPARE, "-o", "no/run"),
        "The folder of no/run must exist",
    ),
    "compare into a full folder": (
        (*COMPARE, "-o", "full"),
        "full holds something already",
    ),
    "truncated head": (
        ("evaluate", "cut.safetensors", "test.npz"),
        "cut.safetensors must be a whole safetensors file",
    ),
    "head alone": (
        ("evaluate", "bare.safetensors", "test.npz"),
        "must hold a classifier; it holds a head alone",
    ),
    "features for a head": (
        ("evaluate", "test.npz", "test.npz"),
        "test.npz must be a whole safetensors file",
    ),
    "pickled features": (
        ("evaluate", HEAD, "pickled.npz"),
        "pickled.npz must be a whole .npz file without pickled objects",
    ),
    "pickled training features": (
        ("fit", "pickled.npz", "-o", "a"),
        "pickled.npz must be a whole .npz file without pickled objects",
    ),
    "file without features": (("info", "other.npz"), "must hold an array 'features'"),
    "missing features": (("evaluate", HEAD, "gone.npz"), "gone.npz does not exist"),
    "missing head": (("info", "gone.safetensors"), "gone.safetensors does not exist"),
    "missing base": ((*FIT, "--base", "gone", "-o", "a"), "gone does not exist"),
    "unknown method": (
        ("fit", "train.npz", "--method", "nope", "-o", "a"),
        "Unknown method 'nope'. Known methods: linear, cosine, over-sampling,",
    ),
    "unknown method compared": (
        (*COMPARE[:-1], "ncm,nope", "-o", "run"),
        "Unknown method 'nope'",
    ),
    "unknown reference": (
        (*COMPARE, "--reference", "nope", "-o", "run"),
        "one of the methods ['ncm']; got 'nope'",
    ),
    "unknown parameter": (
        (*FIT, "--set", "k=1", "-o", "a"),
        "'ncm' has no parameter ['k']; it has ['metric']",
    ),
    "bad parameter": (
        (*FIT, "--set", "metric=7", "-o", "a"),
        "The 'metric' parameter of NearestClassMeanClassifier must be",
    ),
    "setting without value": (
        (*FIT, "--set", "metric", "-o", "a"),
        "--set must be name=value; got 'metric'",
    ),
    "base for a method without": (
        (*FIT, "--base", "bare.safetensors", "-o", "a"),
        "'ncm' has no parameter ['base']",
    ),
    "unknown class evaluated": (
        ("evaluate", HEAD, "foreign.npz"),
        "['gnu'] are not (known: 4 classes)",
    ),
    "unknown class compared": (
        (*COMPARE[:2], "foreign.npz", "--methods", "ncm", "-o", "run"),
        "['gnu'] are not (known: 4 classes)",
    ),
    "wrong width evaluated": (("evaluate", HEAD, "narrow.npz"), "X has 5 features"),
    "wrong width added": (("add", HEAD, "narrow.npz", "-o", "a"), "X has 5 features"),
    "wrong width predicted": (
        ("predict", HEAD, "narrow.npz", "-o", "p.csv"),
        "X has 5 features",
    ),
    "NaN fitted": (("fit", "nan.npz", "-o", "a"), "nan.npz: features must be finite"),
    "NaN predicted": (
        ("predict", HEAD, "nan.npz", "-o", "p.csv"),
        "1 rows hold NaN or inf (rows [2])",
    ),
    "one class": (("fit", "single.npz", "-o", "a"), "needs at least 2 classes in y"),
    "no labels to fit": (
        ("fit", "unlabelled.npz", "-o", "a"),
        "unlabelled.npz must hold labels; add an array 'labels'",
    ),
    "no labels to evaluate": (
        ("evaluate", HEAD, "unlabelled.npz"),
        "unlabelled.npz must hold labels",
    ),
    "predictions of unknown format": (
        ("predict", HEAD, "test.npz", "-o", "p.txt"),
        "p.txt must end in one of ['.csv', '.npz']; got '.txt'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line_with_exit_code_2_and_writes_nothing(case, broken, run):
    words, message = CASES[case]
    before = contents(broken)
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert message in err
    assert contents(broken) == before


def test_adding_to_a_method_without_partial_fit_names_those_that_can(files, run):
    words = ("fit", "train.npz", "--method", "linear", "--set", "epochs=1")
    run(*words, "-o", "linear.safetensors")
    code, out, err = run("add", "linear.safetensors", "new.npz", "-o", "a")
    assert (code, out) == (2, "")
    assert "LinearClassifier cannot take examples without training" in err
    assert "'ncm'" in err
    assert not (files / "a").exists()


def test_an_error_is_one_line_even_if_it_is_long(files, head, run):
    names = [f"a rather long name of a class, number {i}" for i in range(4)]
    FeatureSet(np.eye(4, 6), [0, 1, 2, 3], names).save(files / "long.npz")
    _, _, err = run("evaluate", "head.safetensors", "long.npz")
    assert len(err) > 200
    assert err.count("\n") == 1
    assert all(name in err for name in names)


def test_brackets_in_an_error_are_no_markup(files, run):
    _, _, err = run("info", "[bold]gone.npz")
    assert "[bold]gone.npz does not exist" in err


def test_usage_errors_have_exit_code_2_and_print_nothing_to_stdout(files, run):
    for words in (
        ("fit", "train.npz"),
        ("evaluate", "a", "b", "--convention", "x"),
        ("nope",),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert "Error" in err


@pytest.mark.parametrize(
    "words",
    [
        ("fit", "zero.npz", "--method", "ncm", "-o", "a"),
        ("evaluate", HEAD, "zero.npz"),
        ("predict", HEAD, "zero.npz", "-o", "p.csv"),
        ("info", "zero.npz"),
    ],
    ids=lambda words: words[0],
)
def test_rows_of_zeros_are_reported_on_stderr_and_used(words, files, head, run):
    data = FeatureSet.load(files / "train.npz")
    features = np.vstack([np.zeros((2, 6)), data.features])
    labels = np.concatenate([[0, 1], data.labels])
    FeatureSet(features, labels, data.class_names).save(files / "zero.npz")
    code, out, err = run(*words)
    assert code == 0
    assert out
    assert err.splitlines()[0] == (
        "Warning: 2 of 53 rows in zero.npz are all zero; their unit vector is taken as "
        "zero."
    )


def test_a_bug_is_not_dressed_up_as_an_error(monkeypatch, files, run):
    def fail(path):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(FeatureSet, "load", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run("fit", "train.npz", "-o", "a")
