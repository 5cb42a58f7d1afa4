import numpy as np
import pytest

from headtail.datasets import long_tailed_digits
from headtail.demo import demo, demo_features
from headtail.registry import METHODS, get_method
from headtail.tensors import fingerprint


@pytest.fixture(scope="module")
def features():
    return demo_features()


def test_features_are_64_positive_units_with_the_labels_and_names_of_the_digits(
    features,
):
    digits = long_tailed_digits()
    for data, labels in zip(
        features, (digits.train_labels, digits.test_labels), strict=True
    ):
        assert data.features.shape == (len(labels), 64)
        assert data.features.min() == 0
        assert data.zero_rows == 0
        np.testing.assert_array_equal(data.labels, labels)
        assert data.class_names == digits.class_names


def test_all_methods_are_in_the_table_and_the_recommended_one_helps_the_tail():
    # One test: the demonstration would otherwise run in every process.
    comparison = demo()
    names = [row.name for row in METHODS]
    assert list(comparison.evaluations) == names
    lines = comparison.to_text().splitlines()
    assert [line.split()[0] for line in lines[3:]] == names
    assert comparison.reference == "cosine"
    for evaluation in comparison.evaluations.values():
        sizes = [
            evaluation[name].n_classes for name in ("all", "many", "medium", "few")
        ]
        assert sizes == [10, 1, 4, 5]
        for figure in evaluation.figures.values():
            assert 0 <= figure.low <= figure.value <= figure.high <= 1
    few = {name: e["few"].value for name, e in comparison.evaluations.items()}
    for row in METHODS:
        if row.recommended:
            assert few[row.name] > few["cosine"]


def test_same_seed_same_json(monkeypatch):
    # The reference, a method and a loss: all of them would take long.
    few = [row for row in METHODS if row.name in ("cosine", "crt", "lade")]
    monkeypatch.setattr("headtail.demo.METHODS", few)
    assert demo(0).to_json() == demo(0).to_json()


def test_another_seed_gives_other_features(features, monkeypatch):
    monkeypatch.setattr("headtail.demo.METHODS", [get_method("cosine")])
    train, test = features
    facts = demo().provenance
    assert facts["train"]["fingerprint"] == fingerprint(train.features, train.labels)
    assert facts["test"]["fingerprint"] == fingerprint(test.features, test.labels)
    other, _ = demo_features(1)
    assert other.labels.tolist() == long_tailed_digits(1).train_labels.tolist()
    assert other.labels.tolist() != train.labels.tolist()
    assert fingerprint(other.features) != fingerprint(train.features)
