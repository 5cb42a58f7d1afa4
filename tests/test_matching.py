from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtail.features import FeatureSet
from headtail.matching import class_names_of, matched_labels, name_classes

ANIMALS = ("cat", "lynx", "ox", "yak")


def classifier(classes, names=None, dtype=None):
    result = SimpleNamespace(classes_=np.array(classes, dtype=dtype))
    if names is not None:
        result.class_names_ = tuple(names)
    return result


def labels_for(fitted, examples, **options):
    names = getattr(fitted, "class_names_", None)
    return matched_labels(examples, fitted.classes_, names, **options)


def data(labels, names=None):
    return FeatureSet(np.ones((len(labels), 1)), labels, names)


def test_names_go_to_the_classes_that_occur():
    fitted = classifier([3, 1])
    name_classes(fitted, data([1, 3], ANIMALS))
    assert fitted.class_names_ == ("yak", "lynx")


def test_data_without_names_give_none():
    fitted = classifier([0, 1])
    name_classes(fitted, data([0, 1]))
    assert not hasattr(fitted, "class_names_")


def test_class_names_are_the_given_ones_or_the_labels_as_text():
    assert class_names_of(classifier([5, 7], ["a", "b"])) == ("a", "b")
    assert class_names_of(classifier([5, 7])) == ("5", "7")
    assert class_names_of(classifier(["x", "y"])) == ("x", "y")


@given(
    st.permutations(ANIMALS),
    st.permutations(ANIMALS),
    st.lists(st.integers(0, 3), min_size=1, max_size=12),
)
def test_classes_match_by_name_whatever_their_order(known, named, labels):
    fitted = classifier([10, 40, 20, 30], known)
    matched = labels_for(fitted, data(labels, named))
    value_of = dict(zip(known, [10, 40, 20, 30], strict=True))
    assert matched.tolist() == [value_of[named[label]] for label in labels]


@pytest.mark.parametrize("dtype", [str, object])
def test_text_classes_are_their_own_names(dtype):
    fitted = classifier(["ox", "cat"], dtype=dtype)
    matched = labels_for(fitted, data(["cat", "ox", "cat"]))
    assert matched.tolist() == ["cat", "ox", "cat"]


@pytest.mark.parametrize(
    ("names", "data_names"), [(None, None), (["a", "b"], None), (None, ANIMALS)]
)
def test_classes_match_by_value_unless_both_have_names(names, data_names):
    fitted = classifier([3, 1], names)
    matched = labels_for(fitted, data([1, 1, 3], data_names))
    assert matched.tolist() == [1, 1, 3]


def test_names_that_do_not_occur_need_not_be_known():
    fitted = classifier([0, 1], ["ox", "cat"])
    assert labels_for(fitted, data([2, 2], ANIMALS)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("classes", "names", "labels", "data_names", "message"),
    [
        ([0, 1], ["ox", "cat"], [1, 3, 2], ANIMALS, r"\['lynx', 'yak'\] .*2 classes"),
        ([0, 1], None, [5, 0, 4], None, r"\[4, 5\] are not \(known: 2 classes"),
        ([0, 1], None, [3, 0], ANIMALS, r"\['yak'\] are not"),
        (["ox", "cat"], None, [0, 3], ANIMALS, r"\['yak'\] are not"),
        (["0", "1"], None, [0, 1], None, r"\[0, 1\] are not"),
    ],
)
def test_unknown_classes_are_named(classes, names, labels, data_names, message):
    with pytest.raises(ValueError, match=message):
        labels_for(classifier(classes, names), data(labels, data_names))


def test_new_names_get_the_next_free_integers():
    fitted = classifier([7, 2], ["ox", "cat"])
    matched = labels_for(fitted, data([3, 0, 1, 3, 2], ANIMALS), new=True)
    assert matched.tolist() == [9, 2, 8, 9, 7]
    assert matched.dtype.kind == "i"


@pytest.mark.parametrize("dtype", [str, object])
def test_new_names_of_a_text_classifier_are_their_own_labels(dtype):
    fitted = classifier(["ox", "cat"], dtype=dtype)
    matched = labels_for(fitted, data([3, 0, 1], ANIMALS), new=True)
    assert matched.tolist() == ["yak", "cat", "lynx"]


def test_new_values_keep_their_value():
    matched = labels_for(classifier([0, 1]), data([1, 9, 0]), new=True)
    assert matched.tolist() == [1, 9, 0]


def test_new_changes_nothing_if_all_classes_are_known():
    fitted = classifier([7, 2], ["ox", "cat"])
    matched = labels_for(fitted, data([0, 2], ANIMALS), new=True)
    assert matched.tolist() == [2, 7]


def test_data_without_labels_are_refused():
    unlabelled = FeatureSet(np.ones((1, 1)), None)
    with pytest.raises(ValueError, match="have no labels"):
        labels_for(classifier([0, 1]), unlabelled)
