import numpy as np
import pytest

from headtail import FeatureSet, NearestClassMeanClassifier
from headtail.registry import METHODS, recommended_method
from headtail.workflow import (
    add_examples,
    evaluate_classifier,
    fit_method,
    predict_features,
)

GNU = 3 * np.eye(6)[5]
YAK = 3 * np.eye(6)[4]


@pytest.fixture
def newcomers(train):
    """Two known classes and two new ones, numbered otherwise than in training."""
    features = np.vstack([train.features[:2], GNU, YAK, train.features[-1:], GNU])
    names = ["yak", "dog", "gnu", "unused", "ant"]
    return FeatureSet(features, [4, 4, 2, 0, 1, 2], names)


@pytest.mark.filterwarnings("ignore:n_neighbors is:UserWarning")
@pytest.mark.parametrize("row", METHODS, ids=lambda row: row.name)
def test_every_method_is_fitted_by_its_name(row, train):
    classifier = fit_method(train, row.name)
    assert type(classifier) is row.estimator
    parameters = classifier.get_params(deep=False)
    assert row.parameters.items() <= parameters.items()
    assert classifier.class_names_ == train.class_names
    assert classifier.class_counts_.tolist() == [30, 12, 6, 3]


def test_without_a_name_the_recommended_method_is_fitted(train):
    assert type(fit_method(train)) is recommended_method().estimator


def test_an_unknown_method_is_refused_with_the_known_ones(train):
    known = ", ".join(row.name for row in METHODS)
    with pytest.raises(ValueError, match=f"Unknown method 'nope'.*{known}"):
        fit_method(train, "nope")


def test_an_unknown_parameter_is_refused_with_the_known_ones(train):
    with pytest.raises(
        ValueError, match=r"'ncm' has no parameter \['epochs', 'k'\]; .*\['metric'\]"
    ):
        fit_method(train, "ncm", {"k": 3, "metric": "cosine", "epochs": 2})


def test_parameters_reach_the_estimator(train):
    assert fit_method(train, "ncm", {"metric": "euclidean"}).metric == "euclidean"


def test_same_seed_same_head_and_another_seed_another(train):
    first, same, other = (
        fit_method(train, "cosine", {"epochs": 1}, random_state=seed)
        for seed in (3, 3, 4)
    )
    assert first.head_.weight.equal(same.head_.weight)
    assert not first.head_.weight.equal(other.head_.weight)


def test_a_seed_among_the_parameters_goes_before_random_state(train):
    parameters = {"epochs": 1, "random_state": 3}
    classifier = fit_method(train, "cosine", parameters, random_state=4)
    assert classifier.random_state == 3
    assert parameters == {"epochs": 1, "random_state": 3}


def test_without_labels_there_is_nothing_to_fit(train):
    with pytest.raises(ValueError, match="labels are needed"):
        fit_method(FeatureSet(train.features, None), "ncm")


def test_names_are_those_of_the_classes_that_have_examples(train):
    data = FeatureSet(train.features, 2 * train.labels, [*"abcdefgh"])
    classifier = fit_method(data, "ncm")
    assert classifier.class_names_ == ("a", "c", "e", "g")
    assert classifier.classes_.tolist() == [0, 2, 4, 6]


def test_without_names_a_classifier_has_none(train):
    classifier = fit_method(FeatureSet(train.features, train.labels), "ncm")
    assert not hasattr(classifier, "class_names_")


def test_examples_are_added_to_the_class_of_their_name(train, newcomers):
    classifier = fit_method(train, "ncm")
    assert sorted(add_examples(classifier, newcomers)) == ["gnu", "yak"]
    counts = dict(
        zip(classifier.class_names_, classifier.class_counts_.tolist(), strict=True)
    )
    assert counts == {"ant": 32, "bee": 12, "cat": 6, "dog": 4, "gnu": 2, "yak": 1}


def test_new_classes_stand_after_the_known_in_the_order_returned(train, newcomers):
    classifier = fit_method(train, "ncm")
    names = add_examples(classifier, newcomers)
    assert classifier.class_names_ == (*train.class_names, *names)
    assert classifier.classes_.tolist() == [0, 1, 2, 3, 4, 5]
    samples = FeatureSet(np.vstack([GNU, YAK]), None)
    assert predict_features(classifier, samples).top[:, 0].tolist() == ["gnu", "yak"]


def test_a_new_class_gets_a_label_that_nobody_has(train):
    data = FeatureSet(train.features, 2 * train.labels, [*"abcdefgh"])
    classifier = fit_method(data, "ncm")
    assert add_examples(classifier, FeatureSet([GNU], ["gnu"])) == ["gnu"]
    assert classifier.classes_.tolist() == [0, 2, 4, 6, 7]
    assert classifier.class_names_ == ("a", "c", "e", "g", "gnu")
    assert classifier.class_counts_.tolist() == [30, 12, 6, 3, 1]


def test_new_classes_are_matched_again_later(train, newcomers, renumbered):
    classifier = fit_method(train, "ncm")
    add_examples(classifier, newcomers)
    again = renumbered(newcomers, [3, 2, 4, 1, 0])
    assert add_examples(classifier, again) == []
    counts = dict(
        zip(classifier.class_names_, classifier.class_counts_.tolist(), strict=True)
    )
    assert counts == {"ant": 34, "bee": 12, "cat": 6, "dog": 5, "gnu": 4, "yak": 2}
    assert evaluate_classifier(classifier, newcomers)["all"].n_classes == 4


def test_adding_is_fitting_on_everything_for_class_means(train, make_data):
    more = make_data([2, 3, 4, 5], seed=7)
    classifier = fit_method(train, "ncm")
    add_examples(classifier, more)
    both = FeatureSet(
        np.vstack([train.features, more.features]),
        np.concatenate([train.labels, more.labels]),
    )
    expected = fit_method(both, "ncm").predict_proba(more.features)
    np.testing.assert_allclose(classifier.predict_proba(more.features), expected)


def test_without_names_classes_are_added_by_label_value(train):
    classifier = fit_method(FeatureSet(train.features, train.labels), "ncm")
    more = FeatureSet(np.vstack([GNU, YAK, YAK, train.features[:1]]), [9, 7, 7, 0])
    assert add_examples(classifier, more) == ["7", "9"]
    assert classifier.classes_.tolist() == [0, 1, 2, 3, 7, 9]
    assert classifier.class_counts_.tolist() == [31, 12, 6, 3, 2, 1]
    assert not hasattr(classifier, "class_names_")


def test_names_are_told_even_if_the_classifier_knows_label_values_alone(train):
    classifier = fit_method(FeatureSet(train.features, train.labels), "ncm")
    more = FeatureSet([GNU], [4], ["ant", "bee", "cat", "dog", "gnu"])
    assert add_examples(classifier, more) == ["gnu"]
    assert classifier.classes_.tolist() == [0, 1, 2, 3, 4]


def test_a_named_classifier_takes_unnamed_data_by_label_value(train):
    classifier = fit_method(train, "ncm")
    more = FeatureSet(np.vstack([GNU, train.features[:1]]), [8, 0])
    assert add_examples(classifier, more) == ["8"]
    assert classifier.class_names_ == (*train.class_names, "8")
    assert classifier.class_counts_.tolist() == [31, 12, 6, 3, 1]


def test_a_classifier_with_text_labels_takes_classes_by_name(train, newcomers):
    labels = np.asarray(train.class_names)[train.labels]
    classifier = NearestClassMeanClassifier().fit(train.features, labels)
    assert add_examples(classifier, newcomers) == ["gnu", "yak"]
    assert classifier.classes_.tolist() == [*train.class_names, "gnu", "yak"]


def test_new_classes_join_every_method_that_can_take_them(train, newcomers):
    able = [row for row in METHODS if hasattr(row.build(), "partial_fit")]
    assert {"ncm", "compositional"} <= {row.name for row in able}
    for row in able:
        classifier = fit_method(train, row.name)
        add_examples(classifier, newcomers)
        assert classifier.predict_proba(train.features).shape == (len(train), 6)


def test_a_method_that_cannot_take_examples_names_those_that_can(train):
    classifier = fit_method(train, "linear", {"epochs": 1})
    with pytest.raises(
        ValueError, match=r"LinearClassifier cannot.*methods that can are.*'ncm'"
    ):
        add_examples(classifier, train)


def test_refused_examples_change_nothing(train, make_data):
    classifier = fit_method(train, "ncm")
    before = classifier.predict_proba(train.features)
    wide = FeatureSet(np.ones((1, 7)), ["emu"])
    with pytest.raises(ValueError, match="7 features"):
        add_examples(classifier, wide)
    assert classifier.class_names_ == train.class_names
    np.testing.assert_array_equal(classifier.predict_proba(train.features), before)
