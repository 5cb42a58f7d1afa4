"""Saved classifiers: everything comes back, and nothing that does not fit comes in."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    CountAwareTransferClassifier,
    LinearClassifier,
    NearestClassMeanClassifier,
    load_classifier,
    load_head,
)

LABELS = {
    "int": np.array([3, 30, 300]),
    "int32": np.array([3, 30, 300], dtype=np.int32),
    "text": np.array(["3", "30", "300"]),
    "object": np.array(["a", "bb", "ccc"], dtype=object),
    "bool and float": np.array([0.0, 1.0, 2.0]),
}
ESTIMATORS = [
    LinearClassifier(epochs=1, random_state=0),
    CosineClassifier(epochs=1, random_state=0),
    NearestClassMeanClassifier(),
    NearestClassMeanClassifier("euclidean"),
    NearestClassMeanClassifier("centered"),
    CompositionalClassifier(random_state=0),
    CompositionalClassifier(LinearClassifier(epochs=1), donors=(0, "prototypes")),
    CompositionalClassifier(torch.nn.Linear(4, 3), donors=0, scale=3.0),
    CountAwareTransferClassifier(random_state=0),
]


def problem(classes):
    rng = np.random.default_rng(0)
    y = np.repeat(classes, [30, 10, 3])
    return rng.normal(size=(43, 4)) + np.repeat(np.eye(3, 4) * 4, [30, 10, 3], 0), y


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("classes", LABELS.values(), ids=LABELS.keys())
def test_everything_comes_back(estimator, classes, tmp_path):
    X, y = problem(classes)
    fitted = estimator.fit(X, y)
    fitted.save_classifier(tmp_path / "head.safetensors")
    loaded = load_classifier(tmp_path / "head.safetensors")
    assert type(loaded) is type(fitted)
    assert loaded.classes_.dtype == fitted.classes_.dtype
    assert loaded.classes_.tolist() == classes.tolist()
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(loaded.class_counts_, [30, 10, 3])
    ours, theirs = loaded.get_params(deep=False), fitted.get_params(deep=False)
    assert {k: v for k, v in ours.items() if k != "base"} == {
        k: v for k, v in theirs.items() if k != "base"
    }
    with torch.no_grad():
        head = load_head(tmp_path / "head.safetensors")
        logits = head(torch.from_numpy(X))
    assert (
        loaded.classes_[logits.argmax(1).numpy()].tolist() == loaded.predict(X).tolist()
    )


def test_a_loaded_classifier_can_be_fitted_again(tmp_path):
    X, y = problem(LABELS["text"])
    base = CosineHead(torch.eye(3, 4), 9.0, classes=LABELS["text"])
    fitted = CompositionalClassifier(base).fit(X, y)
    fitted.save_classifier(tmp_path / "head.safetensors")
    again = load_classifier(tmp_path / "head.safetensors").fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_same_classifier_same_bytes(tmp_path):
    X, y = problem(LABELS["text"])
    for name in ("first", "second"):
        clf = CompositionalClassifier(random_state=0).fit(X, y)
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_random_state_that_is_no_number_cannot_be_saved(tmp_path):
    X, y = problem(LABELS["int"])
    clf = LinearClassifier(epochs=1, random_state=np.random.RandomState(0)).fit(X, y)
    with pytest.raises(TypeError, match=r"random_state must be .* got RandomState"):
        clf.save_classifier(tmp_path / "head.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_head_alone_is_no_classifier(tmp_path):
    CosineHead(torch.eye(2)).save(tmp_path / "alone.safetensors")
    with pytest.raises(ValueError, match=r"alone.safetensors .* holds a head alone"):
        load_classifier(tmp_path / "alone.safetensors")


def tampered(path, change):
    """Rewrite a saved classifier after `change(metadata, tensors)`."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["headtail"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(metadata, tensors)
    save_file(tensors, path, metadata={"headtail": json.dumps(metadata)})


def fewer_counts(metadata, tensors):
    tensors["class_counts_"] = tensors["class_counts_"][:2]


def another_estimator(metadata, tensors):
    metadata["estimator"]["name"] = "os.system"


def no_statistics(metadata, tensors):
    del tensors["statistics_.sums"]


def infinite_statistics(metadata, tensors):
    tensors["statistics_.sums"][0, 0] = float("inf")


def negative_counts(metadata, tensors):
    tensors["statistics_.class_counts"][0] = -1


def shorter_classes(metadata, tensors):
    metadata["fitted"]["classes_"]["values"] = ["3"]


def missing_part(metadata, tensors):
    del metadata["fitted"]["donors_"]


def narrow_base(metadata, tensors):
    tensors["base_head_.weight"] = tensors["base_head_.weight"][:, :2].contiguous()


def unknown_parameter(metadata, tensors):
    metadata["estimator"]["parameters"]["depth"] = 3


def no_estimator(metadata, tensors):
    metadata["estimator"] = "CompositionalClassifier"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (fewer_counts, "class_counts_ must fit 3 classes"),
        (another_estimator, "'os.system' is not known"),
        (no_statistics, "statistics_.sums"),
        (infinite_statistics, "must be finite"),
        (negative_counts, "their counts at least 0"),
        (shorter_classes, "must be those of the base head"),
        (missing_part, "has .*'donors_'"),
        (narrow_base, "base_head_ must fit"),
        (unknown_parameter, "depth"),
        (no_estimator, "head.safetensors must hold a classifier"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message, tmp_path):
    X, y = problem(LABELS["text"])
    path = tmp_path / "head.safetensors"
    CompositionalClassifier(CosineHead(torch.eye(3, 4))).fit(X, y).save_classifier(path)
    tampered(path, change)
    with pytest.raises(ValueError, match=message) as caught:
        load_classifier(path)
    assert "head.safetensors" in str(caught.value)


def test_a_truncated_file_is_refused_by_name(tmp_path):
    X, y = problem(LABELS["text"])
    path = tmp_path / "head.safetensors"
    NearestClassMeanClassifier().fit(X, y).save_classifier(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"head.safetensors must be a whole"):
        load_classifier(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_classifier(tmp_path / "nowhere")
