import json

import numpy as np
import pytest
import torch

from headtail import (
    CosineClassifier,
    CosineHead,
    FeatureSet,
    LinearClassifier,
    LinearHead,
)
from headtail.registry import METHODS
from headtail.workflow import add_examples, describe, fit_method

COUNTS = {
    "n_samples": 51,
    "n_classes": 4,
    "largest_class": 30,
    "smallest_class": 3,
    "imbalance_ratio": 10.0,
    "many": 0,
    "medium": 1,
    "few": 3,
}


@pytest.mark.filterwarnings("ignore:n_neighbors is:UserWarning")
@pytest.mark.parametrize("row", METHODS, ids=lambda row: row.name)
def test_a_classifier_is_told_with_its_method_head_and_training_counts(
    row, train, tmp_path
):
    fit_method(train, row.name).save_classifier(tmp_path / "head.safetensors")
    facts = describe(tmp_path / "head.safetensors")
    assert (facts["holds"], facts["method"]) == ("classifier", row.name)
    assert set(facts["parameters"]) == set(row.build().get_params())
    assert (facts["n_classes"], facts["n_features"]) == (4, 6)
    assert facts["head"].endswith("Head")
    assert facts["training"] == COUNTS
    assert facts["class_names"] == "ant, bee, cat, dog"
    assert set(facts["versions"]) == {"headtail", "torch", "scikit-learn"}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (LinearClassifier(loss="lade"), "lade"),
        (LinearClassifier("class", loss="lade"), "lade"),
        (CosineClassifier("class", loss="ldam-drw"), "ldam-drw"),
        (LinearClassifier(loss="class-balanced-focal"), "linear"),
        (CosineClassifier("instance", loss="ldam-drw"), "ldam-drw"),
        (CosineClassifier("instance"), "cosine"),
        (LinearClassifier("over"), "over-sampling"),
        (LinearClassifier("under"), "under-sampling"),
        (LinearClassifier("under", loss="lade"), "lade"),
        (LinearClassifier(learning_rate=2.0), "linear"),
    ],
)
def test_the_row_is_told_that_has_the_class_and_the_loss(
    estimator, name, train, tmp_path
):
    fitted = estimator.set_params(epochs=1).fit(train.features, train.labels)
    fitted.save_classifier(tmp_path / "head")
    assert describe(tmp_path / "head")["method"] == name


def test_a_compositional_classifier_is_told_with_its_donors(train, tmp_path):
    base = CosineHead(torch.eye(4, 6, dtype=torch.float64))
    classifier = fit_method(train, "compositional", {"base": base})
    add_examples(classifier, FeatureSet(np.ones((2, 6)), ["emu", "fox"]))
    classifier.save_classifier(tmp_path / "head.safetensors")
    facts = describe(tmp_path / "head.safetensors")
    assert facts["donors"] == "0, 20"
    assert facts["classes_without_trained_weight"] == 2
    assert facts["parameters"]["base"] == "CosineHead"
    assert facts["parameters"]["scale"] is None
    assert facts["parameters"]["temperature"] == 10.0
    assert facts["training"]["n_classes"] == 6


def test_without_names_the_labels_of_a_classifier_are_told(train, tmp_path):
    data = FeatureSet(train.features, 10 * train.labels)
    fit_method(data, "ncm").save_classifier(tmp_path / "head.safetensors")
    facts = describe(tmp_path / "head.safetensors")
    assert facts["classes"] == "0, 10, 20, 30"
    assert "class_names" not in facts


@pytest.mark.parametrize("kind", [CosineHead, LinearHead])
def test_a_head_alone_is_told_with_its_size(kind, tmp_path):
    kind(torch.ones(3, 5)).save(tmp_path / "head.safetensors")
    assert describe(str(tmp_path / "head.safetensors")) == {
        "holds": "head",
        "head": kind.__name__,
        "n_classes": 3,
        "n_features": 5,
    }


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.parquet", "a"])
def test_every_kind_of_feature_file_is_told_alike(name, train, tmp_path):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    train.save(tmp_path / name)
    assert describe(tmp_path / name) == {
        "holds": "features",
        "n_samples": 51,
        "n_features": 6,
        "dtype": "float64",
        "zero_rows": 0,
        "labels": COUNTS,
        "class_names": "ant, bee, cat, dog",
    }


def test_features_without_labels_and_names_are_told_without_them(tmp_path):
    features = np.ones((3, 2), dtype=np.float32)
    FeatureSet(features, None).save(tmp_path / "a.npz")
    facts = describe(tmp_path / "a.npz")
    assert (facts["n_samples"], facts["dtype"]) == (3, "float32")
    assert not {"labels", "class_names"} & set(facts)


def test_zero_rows_are_counted_and_reported(tmp_path):
    FeatureSet(np.eye(4)[:, :2], [0, 0, 1, 1]).save(tmp_path / "a.npz")
    with pytest.warns(UserWarning, match=r"2 of 4 rows in .*a\.npz are all zero"):
        assert describe(tmp_path / "a.npz")["zero_rows"] == 2


def test_of_many_names_ten_are_told(tmp_path):
    names = [f"n{i}" for i in range(13)]
    FeatureSet(np.ones((13, 2)), np.arange(13), names).save(tmp_path / "a.npz")
    told = describe(tmp_path / "a.npz")["class_names"]
    assert told == ", ".join(names[:10]) + ", … 3 more"
    FeatureSet(np.ones((2, 2)), [0, 1], names[:10]).save(tmp_path / "b.npz")
    assert describe(tmp_path / "b.npz")["class_names"] == ", ".join(names[:10])


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.npz does not exist"):
        describe(tmp_path / "a.npz")
    (tmp_path / "a.safetensors").write_bytes(b"foreign")
    with pytest.raises(ValueError, match=r"a\.safetensors must be a whole safetensors"):
        describe(tmp_path / "a.safetensors")
    (tmp_path / "a.txt").write_text("foreign")
    with pytest.raises(ValueError, match=r"a\.txt must be a whole safetensors"):
        describe(tmp_path / "a.txt")
