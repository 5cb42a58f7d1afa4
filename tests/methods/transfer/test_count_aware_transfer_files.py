"""Count-aware classifiers in files: all comes back, nothing that does not fit."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from headtail import load_classifier, load_head
from tests.methods.transfer.count_aware import LABELS

MEMBERS = pytest.mark.parametrize("members", ["linear", "composed", "both"])


@MEMBERS
def test_a_saved_classifier_comes_back_and_goes_on(held_out, mixed, members, tmp_path):
    clf = mixed(members=members, prior=0.5).set_params(max_head_loss=0.25)
    clf.save_classifier(tmp_path / "clf.safetensors")
    again = load_classifier(tmp_path / "clf.safetensors")
    assert again.get_params() == clf.get_params()
    np.testing.assert_array_equal(
        again.predict_proba(held_out), clf.predict_proba(held_out)
    )
    for one in (clf, again):
        one.partial_fit(-held_out[:3], [99, 99, LABELS[0]])
    np.testing.assert_array_equal(
        again.predict_proba(held_out), clf.predict_proba(held_out)
    )


def test_a_loaded_classifier_can_be_fitted_again(
    five_classes, held_out, fitted_once, tmp_path
):
    fitted_once.save_classifier(tmp_path / "clf.safetensors")
    again = load_classifier(tmp_path / "clf.safetensors").fit(*five_classes)
    np.testing.assert_array_equal(
        again.predict_proba(held_out), fitted_once.predict_proba(held_out)
    )


def test_the_record_of_the_search_is_saved_too(searched, long_tail, tmp_path):
    searched.save_classifier(tmp_path / "clf.safetensors")
    again = load_classifier(tmp_path / "clf.safetensors")
    assert again.mixture_ == searched.mixture_
    assert again.selection_.facts() == searched.selection_.facts()
    np.testing.assert_array_equal(again.selection_.scores, searched.selection_.scores)
    np.testing.assert_array_equal(
        again.predict_proba(long_tail[0]), searched.predict_proba(long_tail[0])
    )


def test_the_head_alone_can_be_read(fitted_once, held_out, tmp_path):
    fitted_once.save_classifier(tmp_path / "clf.safetensors")
    head = load_head(tmp_path / "clf.safetensors")
    with torch.no_grad():
        logits = head(torch.from_numpy(held_out)).numpy()
    np.testing.assert_array_equal(logits, fitted_once.decision_function(held_out))


def test_a_truncated_file_is_refused(fitted_once, tmp_path):
    path = tmp_path / "clf.safetensors"
    fitted_once.save_classifier(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"clf.safetensors must be a whole"):
        load_classifier(path)


def wide_weight(metadata, tensors):
    tensors["weight_"] = torch.ones(5, 9, dtype=torch.float64)


def flat_map(metadata, tensors):
    tensors["map_"] = tensors["map_"][:3].contiguous()


def long_center(metadata, tensors):
    tensors["center_"] = torch.ones(9, dtype=torch.float64)


def fewer_biases(metadata, tensors):
    tensors["bias_"] = tensors["bias_"][:4].contiguous()


def fewer_trained_counts(metadata, tensors):
    tensors["trained_counts_"] = tensors["trained_counts_"][:4].contiguous()


def no_mixture(metadata, tensors):
    del metadata["fitted"]["mixture_"]


def mixture_in_words(metadata, tensors):
    metadata["fitted"]["mixture_"] = "both"


def no_map(metadata, tensors):
    del tensors["map_"]


def another_map_in_the_head(metadata, tensors):
    tensors["head.map"] = tensors["head.map"][:3].contiguous()


def too_much_shrinkage(metadata, tensors):
    metadata["estimator"]["parameters"]["shrinkage"] = 2.0


def mixture_without_prior(metadata, tensors):
    del metadata["fitted"]["mixture_"]["items"]["prior"]


def mixture_of_strangers(metadata, tensors):
    metadata["fitted"]["mixture_"]["items"]["members"] = "strangers"


def donors_that_nobody_is(metadata, tensors):
    metadata["fitted"]["mixture_"]["items"]["donors"] = 60


def unknown_weights(metadata, tensors):
    tensors["weight_"][0, 0] = float("nan")


def infinite_map(metadata, tensors):
    tensors["map_"][0, 0] = float("inf")


def short_biases(metadata, tensors):
    tensors["bias_"] = tensors["bias_"].float()


def whole_numbers(metadata, tensors):
    for name in ("map_", "center_", "weight_", "bias_"):
        tensors[name] = tensors[name].long()


def trained_on_less_than_nothing(metadata, tensors):
    tensors["trained_counts_"][0] = -1


def trained_on_more_than_there_was(metadata, tensors):
    tensors["trained_counts_"][0] += 1


def trained_on_halves(metadata, tensors):
    tensors["trained_counts_"] = tensors["trained_counts_"].double()


def more_examples_than_in_the_statistics(metadata, tensors):
    tensors["class_counts_"][0] += 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (mixture_without_prior, "a mixture has the fields"),
        (mixture_of_strangers, "a mixture needs .'members'"),
        (donors_that_nobody_is, "must have more than 60 examples"),
        (unknown_weights, "weight_ and bias_ must be finite"),
        (infinite_map, "must be finite"),
        (short_biases, "must be of one float type; got .*float32"),
        (whole_numbers, "must be of one float type; got .*int64"),
        (trained_on_less_than_nothing, "trained_counts_ must be integers from 0"),
        (trained_on_more_than_there_was, "trained_counts_ must be integers from 0"),
        (trained_on_halves, "trained_counts_ must be integers from 0"),
        (more_examples_than_in_the_statistics, "must be those of the statistics"),
        (wide_weight, "weight_ must fit 5 classes and 8 features"),
        (flat_map, "map_ must fit 5 classes and 8 features"),
        (long_center, "center_ must fit 5 classes and 8 features"),
        (fewer_biases, "bias_ must fit 5 classes"),
        (fewer_trained_counts, "trained_counts_ must fit 5 classes"),
        (no_mixture, "has .*'mixture_'"),
        (mixture_in_words, "mixture_ must not be of type str"),
        (no_map, "map_"),
        (another_map_in_the_head, r"center must .*|head_ must fit"),
        (too_much_shrinkage, "'shrinkage' parameter"),
    ],
)
def test_parts_that_do_not_fit_are_refused(fitted_once, damage, message, tmp_path):
    path = tmp_path / "clf.safetensors"
    fitted_once.save_classifier(path)
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["headtail"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    damage(metadata, tensors)
    save_file(tensors, path, metadata={"headtail": json.dumps(metadata)})
    with pytest.raises(ValueError, match=message) as caught:
        load_classifier(path)
    assert "clf.safetensors" in str(caught.value)
