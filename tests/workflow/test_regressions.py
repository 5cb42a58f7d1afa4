"""What once went wrong between files, methods and folders."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from headtail import FeatureSet, NearestClassMeanClassifier, compare, load_classifier
from headtail.evaluation import compare_predictions
from headtail.workflow import add_examples, describe, fit_method, save_comparison

X = np.array([[1.0, 0.1], [0.9, 0.0], [0.0, 1.0], [0.1, 0.9]])


def test_a_comparison_made_by_hand_can_be_saved(tmp_path):
    comparison = compare_predictions(
        {"m": np.full((2, 2), 0.5)}, [5, 7], [3, 4], classes=[5, 7]
    )
    save_comparison(comparison, tmp_path / "run")
    with np.load(tmp_path / "run" / "predictions" / "m.npz") as file:
        assert file["true"].tolist() == [5, 7]


@pytest.mark.parametrize("name", ["a/b", "../b", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused_before_writing(name, tmp_path):
    comparison = compare_predictions({name: np.eye(2)}, [0, 1], [3, 4])
    with pytest.raises(ValueError, match="must do as a file name"):
        save_comparison(comparison, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_found_before_anything_is_fitted():
    class Unfittable(NearestClassMeanClassifier):
        def fit(self, X, y):
            raise AssertionError

    train, test = FeatureSet(X, ["a", "a", "b", "b"]), FeatureSet(X[:1], ["lynx"])
    with pytest.raises(ValueError, match=r"\['lynx'\] are not"):
        compare({"ncm": Unfittable()}, train, test)
    with pytest.raises(ValueError, match=r"one of the methods \['ncm'\]; got 'x'"):
        compare({"ncm": Unfittable()}, train, train, reference="x")
    with pytest.raises(TypeError, match="'svc' must have predict_proba"):
        compare({"ncm": Unfittable(), "svc": LinearSVC()}, train, train)
    with pytest.raises(ValueError, match="must be distinct"):
        compare(["ncm", "ncm"], train, train)


def test_paths_are_loaded(tmp_path):
    FeatureSet(X, [0, 0, 1, 1]).save(tmp_path / "a.npz")
    path = str(tmp_path / "a.npz")
    assert compare(["ncm"], path, path).evaluations["ncm"]["all"].value == 1.0


def test_a_device_that_cannot_be_used_is_refused():
    data = FeatureSet(X, [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"device must be .* got 'foo'"):
        fit_method(data, "linear", {"device": "foo"})


def test_a_new_class_cannot_take_a_name():
    named = FeatureSet(X, [0, 0, 1, 1], ("7", "8"))
    classifier = fit_method(named, "ncm")
    with pytest.raises(ValueError, match=r"\['7'\] are taken"):
        add_examples(classifier, FeatureSet(X[:1], [7]))
    assert classifier.classes_.tolist() == [0, 1]


def test_a_classifier_is_described_whatever_its_suffix_and_others_can_read_it(tmp_path):
    path = tmp_path / "head"
    fit_method(FeatureSet(X, [0, 0, 1, 1]), "ncm").save_classifier(path)
    assert describe(path)["method"] == "ncm"
    assert load_classifier(path).classes_.tolist() == [0, 1]
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_features_without_rows_are_described(tmp_path):
    FeatureSet(np.empty((0, 4)), np.empty(0, int)).save(tmp_path / "empty.npz")
    assert describe(tmp_path / "empty.npz")["n_samples"] == 0


def test_names_that_look_like_labels_do_not_stop_a_new_class():
    classifier = fit_method(FeatureSet(X, [0, 0, 1, 1], ("1", "2")), "ncm")
    assert add_examples(classifier, FeatureSet(X[:1], [0], ("zebra",))) == ["zebra"]
    assert classifier.class_names_ == ("1", "2", "zebra")
