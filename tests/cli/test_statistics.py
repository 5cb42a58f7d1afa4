import json
import sys

import numpy as np
import pytest

from headtail import FeatureSet, load_classifier
from headtail.statistics import load_statistics

fsspec = pytest.importorskip("fsspec")


def test_statistics_of_a_file_are_written_and_counted(files, run):
    code, out, err = run("statistics", "train.npz", "-o", "seen.safetensors")
    said = "seen.safetensors: 51 examples, 4 classes, 6 features\n"
    assert (code, out, err) == (0, said, "")
    statistics, names = load_statistics(files / "seen.safetensors")
    data = FeatureSet.load(files / "train.npz")
    assert names == data.class_names
    assert statistics.class_counts.tolist() == [30, 12, 6, 3]
    for label in range(4):
        expected = data.features[data.labels == label].mean(axis=0)
        np.testing.assert_allclose(statistics.means[label], expected, rtol=1e-6)


def test_an_address_gives_the_same_and_json_the_facts(files, run):
    run("statistics", "new.npz", "-o", "path.safetensors")
    words = ("statistics", f"file://{files}/new.npz", "-o", "address.safetensors")
    code, out, err = run(*words, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "n_classes": 5,
        "n_empty_classes": 1,
        "n_features": 6,
        "n_samples": 10,
        "n_zero_rows": 0,
    }
    first, second = (files / f"{n}.safetensors" for n in ("path", "address"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no.npz", "-o", "s.safetensors"), "no.npz does not exist; check the path."),
        (("train.npz", "-o", "s.npz"), "must end in one of ['.safetensors']"),
        (("train.npz", "-o", "no/s.safetensors"), "The folder of no/s.safetensors"),
        (
            ("train.npz", "-o", "s.safetensors", "--engine", "spark"),
            "engine must be one of ['local', 'ray']; got 'spark'.",
        ),
        (
            ("train.npz", "-o", "s.safetensors", "--address", "auto"),
            "address is that of a Ray cluster; got 'auto'",
        ),
        (
            ("train.npz", "-o", "s.safetensors", "--engine", "ray", "--address", "x:1"),
            "Ray must be installed for the engine 'ray'; it is not.",
        ),
    ],
)
def test_errors_are_one_line(words, message, files, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, err = run("statistics", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (files / "s.safetensors").exists()


def test_extraction_and_statistics_go_from_address_to_address(files, run):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    (files / "images").mkdir()
    np.savez(files / "images" / "a.npz", images=pixels, labels=[0, 1, 1, 0, 1])
    np.savez(files / "images" / "b.npz", images=pixels[:2], labels=[0, 2])
    at = "memory://tests-cli/features"
    try:
        words = ("extract", "resnet20", f"file://{files}/images", "-o", at, "--json")
        code, out, err = run(*words)
        assert code == 0, err
        assert json.loads(out) == {"folder": at, "n_damaged": 0, "n_images": 7}
        code, out, err = run("statistics", at, "-o", "s.safetensors")
        said = "s.safetensors: 7 examples, 3 classes, 64 features\n"
        assert (code, out) == (0, said), err
    finally:
        fsspec.filesystem("memory").rm("/tests-cli", recursive=True)
    code, out, err = run("extract", "resnet20", "images", "-o", "features")
    assert (code, out) == (0, "features: 7 images\n"), err
    data = FeatureSet.load(files / "features")
    statistics, _ = load_statistics(files / "s.safetensors")
    for label in range(3):
        expected = data.features[data.labels == label].sum(axis=0)
        np.testing.assert_allclose(statistics.sums[label], expected, rtol=1e-4)


def test_a_method_is_fitted_on_what_was_added_up(files, run):
    assert run("statistics", "train.npz", "-o", "sums.safetensors")[0] == 0
    for features, output in (("sums.safetensors", "one"), ("train.npz", "other")):
        command = ("fit", features, "--method", "ncm", "-o", f"{output}.safetensors")
        assert run(*command)[0] == 0
    one, other = (
        load_classifier(files / f"{name}.safetensors") for name in ("one", "other")
    )
    assert one.class_names_ == other.class_names_
    features = FeatureSet.load(files / "train.npz").features
    np.testing.assert_allclose(
        one.predict_proba(features), other.predict_proba(features), rtol=1e-5
    )


def test_statistics_choose_nothing(files, run):
    run("statistics", "train.npz", "-o", "sums.safetensors")
    command = ("fit", "sums.safetensors", "-o", "head.safetensors")
    code, _, err = run(*command, "--validation", "test.npz")
    assert code == 2
    assert "leave --validation out" in err
