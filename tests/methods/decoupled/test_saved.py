"""Saved decoupled classifiers: fitted parts that are not what they are called."""

import json

import pytest
import torch

from headtail import (
    LinearClassifier,
    TauNormalizedClassifier,
    WeightScaledClassifier,
    load_classifier,
)
from headtail.files import read_tensors, write_tensors

BASE = LinearClassifier(epochs=1)


@pytest.fixture(autouse=True)
def _as_users_run(monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


@pytest.fixture
def chosen(blobs, tmp_path):
    """A saved τ-normalised classifier that chose its tau."""
    X, y, *_ = blobs
    clf = TauNormalizedClassifier(BASE, tau="auto", random_state=0).fit(X, y)
    clf.save_classifier(tmp_path / "odd")
    return tmp_path / "odd"


def tampered(path, change):
    tensors, metadata = read_tensors(path)
    metadata = json.loads(json.dumps(metadata))
    change(metadata["fitted"], tensors)
    write_tensors(path, tensors, metadata)
    return path


def selected(**changes):
    def change(fitted, tensors):
        fitted["selection_"]["fields"]["items"].update(changes)

    return change


def scaled(fitted, tensors):
    tensors["selection_.scores"] = tensors["selection_.scores"][:3].clone()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, t: f.update(tau_="x"), "tau_ must not be of type str"),
        (lambda f, t: f.update(tau_=None), "tau_ must not be of type NoneType"),
        (lambda f, t: f.update(base_head_=3), "base_head_ must not be of type int"),
        (lambda f, t: f.update(selection_=3), "selection_ must not be of type int"),
        (lambda f, t: f.pop("selection_"), "'selection_'"),
        (lambda f, t: f["base_head_"].update(classes=None), "those of the base head"),
        (lambda f, t: t.pop("base_head_.weight"), r"\['weight'\]"),
        (selected(best_index=99), "must have chosen one of its candidates"),
        (selected(best_index=-1), "must have chosen one of its candidates"),
        (selected(best_index="0"), "a score for every candidate"),
        (selected(candidates=[1, 2]), "a score for every candidate"),
        (selected(optimistic="no"), "a score for every candidate"),
        (selected(colour="red"), "colour"),
        (lambda f, t: f["selection_"]["fields"]["items"].pop("data"), "data"),
        (scaled, "a score for every candidate"),
    ],
)
def test_parts_of_a_choice_that_do_not_fit_name_the_file(change, message, chosen):
    with pytest.raises(ValueError, match=f"odd must hold a classifier .*{message}"):
        load_classifier(tampered(chosen, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, t: f.update(scales_=3), "scales_ must not be of type int"),
        (lambda f, t: t.update(scales_=torch.ones(2)), r"scales_ must fit 4 classes"),
        (lambda f, t: t.pop("scales_"), "scales_"),
    ],
)
def test_scales_that_do_not_fit_name_the_file(change, message, blobs, tmp_path):
    X, y, *_ = blobs
    clf = WeightScaledClassifier(BASE, epochs=1, random_state=0).fit(X, y)
    clf.save_classifier(tmp_path / "odd")
    with pytest.raises(ValueError, match=f"odd must hold a classifier .*{message}"):
        load_classifier(tampered(tmp_path / "odd", change))
