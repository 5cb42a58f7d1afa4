from importlib import import_module

import numpy as np
import pytest

from headtail.datasets import glyphs
from headtail.demo import demo, demo_features
from headtail.heads import CosineHead
from headtail.registry import METHODS, recommended_method
from headtail.tensors import as_tensor, fingerprint
from headtail.workflow import TRAINED, methods_on


@pytest.fixture(scope="module")
def features():
    return demo_features(quick=True)


def test_features_are_those_of_letters_and_their_head_tells_them_apart(features):
    train, test, head = features
    assert train.features.shape[1] == test.features.shape[1] == head.n_features == 64
    counts = np.bincount(train.targets)
    assert (np.diff(counts) <= 0).all()
    assert counts[0] == 20 * counts[-1]
    assert set(np.bincount(test.targets)) == {10}
    assert train.class_names == glyphs([1] * 12).train.class_names
    assert isinstance(head, CosineHead)
    # Twelve letters: chance is 8 %.
    logits = head(as_tensor(test.features))
    assert (logits.argmax(1).numpy() == test.targets).mean() > 0.25


def test_the_recommended_method_helps_the_tail_against_the_trained_head(
    features, monkeypatch
):
    # All of them would take long; the registry's own tests fit each.
    few = [row for row in METHODS if row.recommended or row.name in ("ncm", "tau-norm")]
    monkeypatch.setattr("headtail.demo.demo_features", lambda *_, **__: features)
    monkeypatch.setattr(import_module("headtail.workflow.compare"), "METHODS", few)
    comparison = demo(quick=True)
    assert list(comparison.evaluations) == [TRAINED, *(row.name for row in few)]
    assert comparison.reference == TRAINED
    tail = {name: e["few"].value for name, e in comparison.evaluations.items()}
    assert tail[recommended_method().name] > tail[TRAINED]


def test_all_methods_are_compared(features):
    estimators = methods_on(features.head)
    assert list(estimators) == [TRAINED, *(row.name for row in METHODS)]
    assert estimators["lws"].base is features.head
    assert estimators["alphanet"].base is None


def test_same_seed_same_features_and_another_seed_others(features):
    train, test, head = demo_features(quick=True)
    assert fingerprint(train.features) == fingerprint(features.train.features)
    assert fingerprint(test.features) == fingerprint(features.test.features)
    assert head.weight.equal(features.head.weight)
    other = demo_features(1, quick=True)
    assert fingerprint(other.train.features) != fingerprint(train.features)
