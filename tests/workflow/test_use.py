import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtail import FeatureSet, NearestClassMeanClassifier, evaluate
from headtail.predictions import Predictions
from headtail.workflow import (
    add_examples,
    evaluate_classifier,
    fit_method,
    predict_features,
)


@pytest.fixture
def classifier(train):
    return fit_method(train, "ncm")


def test_evaluation_is_that_of_the_probabilities_and_training_counts(
    classifier, test_set
):
    expected = evaluate(
        test_set.labels,
        classifier.predict_proba(test_set.features),
        [30, 12, 6, 3],
        convention="ckt",
        seed=5,
    )
    found = evaluate_classifier(classifier, test_set, convention="ckt", seed=5)
    assert found.as_json() == expected.as_json()
    assert 0 < found["all"].value < 1


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 2, 3, 0], [2, 0, 3, 1]])
def test_classes_match_by_name_whatever_their_numbers(
    classifier, test_set, renumbered, order
):
    other = renumbered(test_set, order)
    assert other.labels.tolist() != test_set.labels.tolist()
    expected = evaluate_classifier(classifier, test_set)
    found = evaluate_classifier(classifier, other)
    assert found.as_json() == expected.as_json()
    np.testing.assert_array_equal(found.recall, expected.recall)


def test_names_of_the_test_file_without_examples_are_ignored(classifier, test_set):
    names = [*test_set.class_names, "eel"]
    more = FeatureSet(test_set.features, test_set.labels, names)
    expected = evaluate_classifier(classifier, test_set)
    assert evaluate_classifier(classifier, more).as_json() == expected.as_json()


def test_without_names_classes_match_by_label_value(classifier, test_set):
    unnamed = FeatureSet(test_set.features, test_set.labels)
    expected = evaluate_classifier(classifier, test_set)
    assert evaluate_classifier(classifier, unnamed).as_json() == expected.as_json()


def test_text_labels_of_a_classifier_match_names(train, test_set, renumbered):
    labels = np.asarray(train.class_names)[train.labels]
    classifier = NearestClassMeanClassifier().fit(train.features, labels)
    other = renumbered(test_set, [3, 0, 2, 1])
    expected = evaluate_classifier(fit_method(train, "ncm"), test_set)
    assert evaluate_classifier(classifier, other).as_json() == expected.as_json()


def test_unknown_classes_are_refused_by_their_names(classifier, test_set):
    names = ["ant", "eel", "cat", "fox"]
    foreign = FeatureSet(test_set.features, test_set.labels, names)
    with pytest.raises(
        ValueError, match=r"\['eel', 'fox'\] are not \(known: 4 classes\)"
    ):
        evaluate_classifier(classifier, foreign)


def test_unknown_label_values_are_refused_as_values_or_by_their_names(train, test_set):
    bare = fit_method(FeatureSet(train.features, train.labels), "ncm")
    unnamed = FeatureSet(test_set.features, test_set.labels + 2)
    with pytest.raises(ValueError, match=r"\[4, 5\] are not"):
        evaluate_classifier(bare, unnamed)
    named = FeatureSet(test_set.features, test_set.labels + 2, [*"abcdef"])
    with pytest.raises(ValueError, match=r"\['e', 'f'\] are not"):
        evaluate_classifier(bare, named)


def test_examples_that_were_added_count_as_training_examples(classifier, make_data):
    add_examples(classifier, make_data([0, 0, 0, 20], seed=3))
    result = evaluate_classifier(classifier, make_data([1, 1, 1, 1], seed=4))
    assert result.class_counts.tolist() == [30, 12, 6, 23]
    assert result["medium"].n_classes == 2


def test_evaluation_needs_labels(classifier, test_set):
    with pytest.raises(ValueError, match="labels are needed"):
        evaluate_classifier(classifier, FeatureSet(test_set.features, None))


def test_predictions_are_names_best_first(classifier, test_set):
    predictions = predict_features(classifier, test_set)
    proba = classifier.predict_proba(test_set.features)
    names = np.asarray(test_set.class_names)
    best = classifier.predict(test_set.features)
    assert predictions.top.shape == (30, 4)  # as many as there are classes
    assert predictions.top[:, 0].tolist() == names[best].tolist()
    np.testing.assert_array_equal(predictions.top_probability, -np.sort(-proba, axis=1))
    for labels, values, row in zip(
        predictions.top, predictions.top_probability, proba, strict=True
    ):
        assert dict(zip(labels, values, strict=True)) == dict(
            zip(names, row, strict=True)
        )


def test_true_classes_are_kept_by_name_if_there_are_labels(
    classifier, test_set, renumbered
):
    expected = np.asarray(test_set.class_names)[test_set.labels].tolist()
    other = renumbered(test_set, [2, 0, 3, 1])
    assert predict_features(classifier, other).true.tolist() == expected
    unlabelled = FeatureSet(test_set.features, None)
    assert predict_features(classifier, unlabelled).true is None


def test_without_names_predictions_are_label_values(train, test_set):
    data = FeatureSet(train.features, 10 * train.labels)
    tests = FeatureSet(test_set.features, 10 * test_set.labels)
    predictions = predict_features(fit_method(data, "ncm"), tests)
    assert predictions.top.dtype.kind == "i"
    assert set(predictions.top.ravel().tolist()) == {0, 10, 20, 30}
    assert predictions.true.tolist() == tests.labels.tolist()


@given(st.integers(6, 80), st.integers(0, 1000))
def test_of_many_classes_five_are_kept_and_ties_come_in_class_order(n_classes, seed):
    votes = np.random.default_rng(seed).integers(1, 4, n_classes)
    labels = 10 * np.arange(n_classes)[::-1]
    best = Predictions.from_proba(votes[None] / votes.sum(), labels).top
    order = sorted(range(n_classes), key=lambda c: -votes[c])
    assert best.tolist() == [[labels[c] for c in order[:5]]]
