import json
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    FeatureSet,
    NearestClassMeanClassifier,
    compare,
    evaluate,
)
from headtail.files import check_new_folder
from headtail.predictions import Predictions
from headtail.registry import METHODS
from headtail.workflow import methods_on, report_of, save_comparison


def quick(methods, train, test, **options):
    return compare(methods, train, test, **{"n_replicates": 20, **options})


@pytest.mark.filterwarnings("ignore:n_neighbors is:UserWarning")
def test_every_method_of_the_registry_is_compared_by_name(train, test_set):
    names = [row.name for row in METHODS]
    comparison = quick(names, train, test_set)
    assert list(comparison.evaluations) == names
    assert comparison.reference == names[0]
    # Its alpha takes out the mean direction, which here is that of the largest class.
    others = {n: e for n, e in comparison.evaluations.items() if n != "causal-norm"}
    assert len(others) == len(names) - 1
    assert all(e["all"].value > 0.5 for e in others.values())


def test_pairs_give_what_feature_sets_give(train, test_set):
    sets = quick(["ncm"], train, test_set).evaluations["ncm"]
    pairs = quick(
        ["ncm"], (train.features, train.labels), (test_set.features, test_set.labels)
    ).evaluations["ncm"]
    assert pairs.as_json() == sets.as_json()


def test_text_labels_of_pairs_are_class_names(train, test_set):
    def named(data):
        return data.features, np.asarray(data.class_names)[data.labels]

    comparison = quick(["ncm"], named(train), named(test_set))
    assert comparison.provenance["class_names"] == train.class_names
    expected = quick(["ncm"], train, test_set).evaluations["ncm"].as_json()
    assert comparison.evaluations["ncm"].as_json() == expected


def test_own_estimators_stand_beside_those_of_the_registry(train, test_set):
    methods = {
        "logistic": LogisticRegression(),
        "means": NearestClassMeanClassifier("euclidean"),
    }
    comparison = quick(methods, train, test_set, reference="means")
    assert list(comparison.evaluations) == ["logistic", "means"]
    own = LogisticRegression().fit(train.features, train.labels)
    expected = evaluate(
        test_set.labels,
        own.predict_proba(test_set.features),
        [30, 12, 6, 3],
        n_replicates=20,
    )
    assert comparison.evaluations["logistic"].as_json() == expected.as_json()


def test_estimators_are_cloned_and_seeded_only_if_they_have_no_seed(train, test_set):
    free = MLPClassifier((3,), solver="lbfgs", max_iter=5000)
    seeded = MLPClassifier((3,), solver="lbfgs", max_iter=5000, random_state=8)
    comparison = quick({"free": free, "seeded": seeded}, train, test_set)
    for estimator in (free, seeded):
        assert not hasattr(estimator, "classes_")
    assert free.random_state is None
    parameters = comparison.provenance["methods"]
    assert parameters["free"]["random_state"] == 0
    assert parameters["seeded"]["random_state"] == 8


def test_classes_match_by_name_whatever_their_numbers(train, test_set, renumbered):
    other = renumbered(test_set, [2, 0, 3, 1])
    expected = quick(["ncm"], train, test_set).evaluations["ncm"].as_json()
    assert quick(["ncm"], train, other).evaluations["ncm"].as_json() == expected


def test_same_seed_same_json_and_another_seed_another(train, test_set):
    base = CosineClassifier(epochs=1)
    methods = {"base": base, "composed": CompositionalClassifier(base)}
    texts = [
        quick(methods, train, test_set, random_state=seed).to_json()
        for seed in (2, 2, 3)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_the_seed_is_that_of_the_bootstrap_too(train, test_set):
    first, second = (
        quick(["ncm"], train, test_set, random_state=seed).evaluations["ncm"]
        for seed in (1, 2)
    )
    assert first["all"].value == second["all"].value
    assert first.replicates[:, 0].tolist() != second.replicates[:, 0].tolist()


def test_provenance_says_what_was_run(train, test_set):
    facts = quick(["ncm"], train, test_set, random_state=4).provenance
    assert facts["methods"] == {"ncm": {"metric": "cosine"}}
    assert facts["random_state"] == 4
    assert facts["classes"] == [0, 1, 2, 3]
    assert (facts["train"]["n_samples"], facts["train"]["n_features"]) == (51, 6)
    assert facts["train"]["fingerprint"] != facts["test"]["fingerprint"]
    assert set(facts["versions"]) == {"headtail", "torch", "scikit-learn"}
    again = quick(["ncm"], train, test_set.subset(range(29))).provenance
    assert again["train"] == facts["train"]
    assert again["test"]["fingerprint"] != facts["test"]["fingerprint"]


def test_parameters_that_are_no_json_are_told_by_their_text(train, test_set):
    methods = {"own": LogisticRegression(C=np.float32(2), solver="lbfgs")}
    parameters = quick(methods, train, test_set).provenance["methods"]["own"]
    assert parameters["C"] == repr(np.float32(2))
    assert parameters["solver"] == "lbfgs"


def test_convention_reaches_the_evaluation(train, test_set, make_data):
    data = make_data([20, 20, 20, 20], seed=0)
    for convention, n_few in (("decoupling", 0), ("ckt", 4)):
        result = quick(["ncm"], data, test_set, convention=convention)
        assert result.evaluations["ncm"]["few"].n_classes == n_few


def test_a_class_missing_from_the_test_set_has_no_recall(train, make_data):
    result = quick(["ncm"], train, make_data([5, 5, 0, 5], seed=1))
    recall = result.evaluations["ncm"].recall
    assert [math.isnan(r) for r in recall] == [False, False, True, False]
    assert json.loads(result.to_json())["methods"]["ncm"]["recall"][2] is None


def test_one_name_no_method_and_unknown_things_are_refused(train, test_set):
    with pytest.raises(TypeError, match=r"got one name. Put it in \[\]"):
        quick("ncm", train, test_set)
    with pytest.raises(ValueError, match="at least one method; got none"):
        quick([], train, test_set)
    with pytest.raises(ValueError, match=r"distinct; got \['ncm', 'ncm'\]"):
        quick(["ncm", "ncm"], train, test_set)
    with pytest.raises(ValueError, match="Unknown method 'nope'"):
        quick(["ncm", "nope"], train, test_set)
    with pytest.raises(ValueError, match=r"\['ncm'\]; got 'nope'"):
        quick(["ncm"], train, test_set, reference="nope")
    foreign = FeatureSet(test_set.features, test_set.labels, [*"wxyz"])
    with pytest.raises(ValueError, match=r"\['w', 'x', 'y', 'z'\] are not"):
        quick(["ncm"], train, foreign)


def test_a_comparison_is_saved_as_a_whole_folder(train, test_set, tmp_path):
    comparison = quick({"a": NearestClassMeanClassifier()}, train, test_set)
    save_comparison(comparison, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    found = {p.relative_to(tmp_path / "run").as_posix() for p in tmp_path.rglob("*.*")}
    assert found == {
        "comparison.json",
        "comparison.csv",
        "comparison.txt",
        "report.json",
        "predictions/a.npz",
    }
    folder = tmp_path / "run"
    assert (folder / "comparison.json").read_text("utf-8") == comparison.to_json()
    assert (folder / "comparison.csv").read_text("utf-8") == comparison.to_csv()
    text = (folder / "comparison.txt").read_text("utf-8")
    assert text == comparison.to_text() + "\n"


def test_saved_predictions_are_read_without_pickle(train, test_set, tmp_path):
    comparison = quick(["ncm"], train, test_set)
    save_comparison(comparison, tmp_path / "run")
    with np.load(tmp_path / "run/predictions/ncm.npz", allow_pickle=False) as file:
        arrays = dict(file)
    names = np.asarray(train.class_names)
    proba = comparison.predictions["ncm"]
    assert arrays["true"].tolist() == names[test_set.labels].tolist()
    assert arrays["label"].tolist() == names[proba.argmax(axis=1)].tolist()
    np.testing.assert_array_equal(arrays["probability"], proba.max(axis=1))
    assert arrays["top5"].shape == arrays["top5_probability"].shape == (30, 4)


def test_without_names_saved_predictions_are_label_values(train, test_set, tmp_path):
    pairs = [(data.features, 10 * data.labels) for data in (train, test_set)]
    save_comparison(quick(["ncm"], *pairs), tmp_path / "run")
    with np.load(tmp_path / "run/predictions/ncm.npz", allow_pickle=False) as file:
        assert file["true"].tolist() == (10 * test_set.labels).tolist()


def test_an_empty_folder_is_taken_and_a_full_one_refused(train, test_set, tmp_path):
    comparison = quick(["ncm"], train, test_set)
    save_comparison(comparison, tmp_path)
    assert (tmp_path / "comparison.json").exists()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match="holds something already"):
        save_comparison(comparison, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(FileExistsError, match="run holds something already"):
        check_new_folder(tmp_path / "run")
    assert check_new_folder(tmp_path / "new") == tmp_path / "new"


def test_a_failed_save_leaves_nothing_behind(train, test_set, tmp_path, monkeypatch):
    def fail(self, path):
        raise OSError("disk full")

    comparison = quick(["ncm"], train, test_set)
    monkeypatch.setattr(Predictions, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_comparison(comparison, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_the_report_is_about_the_recommended_method(train, test_set):
    names = ["ncm", "cosine", "compositional"]
    plain = report_of(quick(names, train, test_set))
    assert (plain.method, plain.chosen_by) == (
        "cosine",
        "the first of the methods compared",
    )
    both = report_of(quick([*names, "count-aware-transfer"], train, test_set))
    assert (both.method, both.chosen_by) == ("count-aware-transfer", "recommended")
    head = CosineClassifier(epochs=2, random_state=0)
    head = head.fit(train.features, train.targets).head_
    based = report_of(
        quick(methods_on(head, ["ncm", "compositional"]), train, test_set)
    )
    assert based.method == "compositional"
    assert based.chosen_by == "recommended on a trained head"


def test_one_feature_is_compared(train, test_set):
    narrow = [
        FeatureSet(data.features[:, :1], data.targets) for data in (train, test_set)
    ]
    result = quick(["ncm", "compositional"], *narrow)
    assert result.explanations["compositional"].maps


def test_donors_are_kept_of_methods_that_compose(train, test_set):
    result = quick(["ncm", "compositional"], train, test_set)
    assert list(result.explanations) == ["compositional"]
    assert result.provenance["shared_examples"] == 0
    leaky = quick(["ncm"], train, train)
    assert leaky.provenance["shared_examples"] == len(train)
