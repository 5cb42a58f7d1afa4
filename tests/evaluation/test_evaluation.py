import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail import evaluate

# Four examples of each of four classes; class c has c + 1 hits.
BOUNDARY_COUNTS = [19, 20, 100, 101]
BOUNDARY_LABELS = np.repeat(np.arange(4), 4)
BOUNDARY_HITS = np.array([0, 1, 1, 1] + [0, 0, 1, 1] + [0, 0, 0, 1] + [0] * 4)
BOUNDARY_PROBA = np.eye(4)[(BOUNDARY_LABELS + BOUNDARY_HITS) % 4]
REST = (
    "micro_accuracy",
    "top5_accuracy",
    "macro_f1",
    "worst_class_recall",
    "harmonic_mean_recall",
    "expected_calibration_error",
)


def random_problem(n_classes=5, n_samples=60, seed=0):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n_samples)
    logits = rng.normal(size=(n_samples, n_classes))
    logits[np.arange(n_samples), y_true] += 1
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return y_true, proba, rng.choice([3, 50, 300], n_classes)


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("decoupling", {"few": (0.25, 1), "medium": (0.625, 2), "many": (1.0, 1)}),
        ("ckt", {"few": (0.375, 2), "medium": (math.nan, 0), "many": (0.875, 2)}),
    ],
)
def test_counts_at_the_boundaries_fall_into_their_groups(convention, expected):
    result = evaluate(
        BOUNDARY_LABELS, BOUNDARY_PROBA, BOUNDARY_COUNTS, convention=convention
    )
    for name, (value, n_classes) in expected.items():
        assert result[name].value == pytest.approx(value, nan_ok=True)
        assert (result[name].n_classes, result[name].n) == (n_classes, 4 * n_classes)
    assert result.convention == convention


def test_a_class_without_test_examples_counts_in_no_figure():
    y_true, proba, counts = random_problem()
    kept = y_true != 2
    counts[2] = 300
    result = evaluate(y_true[kept], proba[kept], counts, n_replicates=20)
    assert math.isnan(result.recall[2])
    assert result["all"].value == pytest.approx(np.nanmean(result.recall))
    assert result["all"].n_classes == 4
    assert result.class_sizes[2] == 0
    assert result.groups.many[2]
    assert np.isfinite(result.replicates[:, 0]).all()


def test_an_empty_group_is_nan_null_and_dash():
    result = evaluate([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], [500, 5])
    medium = result["medium"]
    assert math.isnan(medium.value)
    assert math.isnan(medium.low)
    assert (medium.n, medium.n_classes) == (0, 0)
    assert result.as_json()["medium"] == {
        "accuracy": None,
        "ci95": None,
        "n_classes": 0,
        "n": 0,
    }
    row = next(x for x in result.to_text().splitlines() if x.startswith("medium"))
    assert row.split() == ["medium", "–", "0", "0"]  # noqa: RUF001


def test_a_group_is_empty_if_none_of_its_classes_is_in_the_test_set():
    result = evaluate([0], [[1.0, 0.0]], [500, 5], n_replicates=10)
    assert math.isnan(result["few"].value)
    assert result["few"].n_classes == 0
    assert result.groups.few[1]


def test_json_has_the_documented_shape_and_no_nan():
    result = evaluate(BOUNDARY_LABELS, BOUNDARY_PROBA, BOUNDARY_COUNTS)
    data = json.loads(json.dumps(result.as_json(), allow_nan=False))
    groups = ("all", "many", "medium", "few")
    assert set(data) == {*groups, *REST, "convention"}
    for name in groups:
        assert set(data[name]) == {"accuracy", "ci95", "n_classes", "n"}
        low, high = data[name]["ci95"]
        assert 0 <= low <= data[name]["accuracy"] <= high <= 1
    for name in REST:
        assert set(data[name]) == {"value", "ci95", "n_classes", "n"}
    assert (data["all"]["n"], data["all"]["n_classes"]) == (16, 4)
    assert data["convention"] == "decoupling"


def test_text_lists_every_figure_in_percent():
    # One test example per class: every replicate is the test set itself.
    result = evaluate([0, 1], [[0.9, 0.1], [0.8, 0.2]], [500, 5], n_replicates=3)
    assert result.to_text() == (
        "figure                      percent   95 % interval  classes  n\n"
        "---------------------------------------------------------------\n"
        "all                            50.0    [50.0, 50.0]        2  2\n"
        "many                          100.0  [100.0, 100.0]        1  1\n"
        "medium                            –                        0  0\n"  # noqa: RUF001
        "few                             0.0      [0.0, 0.0]        1  1\n"
        "micro accuracy                 50.0    [50.0, 50.0]        2  2\n"
        "top5 accuracy                 100.0  [100.0, 100.0]        2  2\n"
        "macro f1                       33.3    [33.3, 33.3]        2  2\n"
        "worst class recall              0.0      [0.0, 0.0]        2  2\n"
        "harmonic mean recall            0.0      [0.0, 0.0]        2  2\n"
        "expected calibration error     45.0    [45.0, 45.0]        2  2"
    )


def test_without_replicates_there_are_values_but_no_intervals():
    result = evaluate(*random_problem(), n_replicates=0)
    assert result.replicates.shape == (0, 10)
    assert all(math.isnan(figure.low) for figure in result.figures.values())
    assert result.as_json()["all"]["ci95"] is None
    assert result.as_json()["all"]["accuracy"] == result["all"].value


def test_the_interval_holds_95_percent_of_the_replicates():
    result = evaluate(*random_problem(), n_replicates=400)
    inside = (result.replicates[:, 0] >= result["all"].low) & (
        result.replicates[:, 0] <= result["all"].high
    )
    assert 0.95 <= inside.mean() <= 0.97


@given(st.integers(0, 1000), st.permutations(range(5)))
def test_permuting_the_classes_permutes_recall_and_changes_no_figure(seed, order):
    y_true, proba, counts = random_problem(seed=seed)
    order = np.array(order)
    labels = np.array([70, 10, 50, 20, 60])
    plain = evaluate(labels[y_true], proba, counts, classes=labels, n_replicates=0)
    other = evaluate(
        labels[y_true],
        proba[:, order],
        counts[order],
        classes=labels[order],
        n_replicates=0,
    )
    np.testing.assert_array_equal(other.recall, plain.recall[order])
    for name, figure in plain.figures.items():
        assert other[name].value == pytest.approx(figure.value, nan_ok=True)
        assert (other[name].n, other[name].n_classes) == (figure.n, figure.n_classes)


@pytest.mark.parametrize(
    "classes", [["e", "b", "d", "a", "c"], [9, -1, 4, 100, 0], [0.5, 2.5, 1.0, 3.0, 7]]
)
def test_any_distinct_labels_in_any_order_name_the_columns(classes):
    y_true, proba, counts = random_problem()
    named = evaluate(np.array(classes)[y_true], proba, counts, classes=classes)
    plain = evaluate(y_true, proba, counts)
    np.testing.assert_array_equal(named.recall, plain.recall)
    np.testing.assert_array_equal(named.replicates, plain.replicates)


def test_tensors_lists_and_single_precision_give_the_figures_of_arrays():
    y_true, proba, counts = random_problem()
    plain = evaluate(y_true, proba, counts, n_replicates=5)
    tensors = torch.tensor(y_true), torch.tensor(proba, requires_grad=True)
    for labels, values in (tensors, (y_true.tolist(), proba.tolist())):
        other = evaluate(labels, values, counts.tolist(), n_replicates=5)
        np.testing.assert_array_equal(other.replicates, plain.replicates)
    single = evaluate(y_true, proba.astype(np.float32), counts, n_replicates=0)
    np.testing.assert_array_equal(single.recall, plain.recall)


HALF = [[0.5, 0.5], [0.5, 0.5]]
NAN = [[math.nan, 1.0], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_true": [0, 7]}, r"known class; \[7\] are not \(known: 2 classes\)"),
        ({"y_true": ["a", "b"]}, r"known class; \['a', 'b'\] are not"),
        ({"y_true": [0, -1]}, r"\[-1\] are not"),
        ({"y_true": []}, r"one label per test example.*got shape \[0\]"),
        ({"y_true": [[0], [1]]}, r"one label per test example.*shape \[2, 1\]"),
        ({"proba": [[0.5, 0.4], [0.5, 0.5]]}, r"sum to 1; 1 do not \(rows \[0\]\)"),
        ({"proba": [[0.5, 0.5], [-0.5, 1.5]]}, r"at least 0.*1 do not \(rows \[1\]\)"),
        ({"proba": [[3.0, -2.5], [8.0, 1.0]]}, r"2 do not.*softmax of the logits"),
        ({"proba": NAN}, r"1 do not \(rows \[0\]\)"),
        ({"proba": [[0, 1], [1, 0]]}, r"floating-point.*got int64 of shape \[2, 2\]"),
        ({"proba": [0.5, 0.5]}, r"shape \[2, 2\].*got float64 of shape \[2\]"),
        ({"proba": [[0.2, 0.3, 0.5]] * 2}, r"\[2, 2\].*got float64 of shape \[2, 3\]"),
        ({"proba": HALF[:1]}, r"shape \[2, 2\].*got float64 of shape \[1, 2\]"),
        ({"classes": ["a", "a"]}, "distinct; some come twice"),
        ({"classes": ["a"]}, r"each of the 2 classes.*got shape \[1\]"),
        ({"class_counts": [5, -1]}, r"class_counts must be at least 0; got \[-1\]"),
    ],
)
def test_bad_input_is_refused_with_what_came(changed, message):
    good = {"y_true": [0, 1], "proba": HALF, "class_counts": [5, 5]}
    with pytest.raises(ValueError, match=message):
        evaluate(**{**good, **changed})


def test_counts_that_are_not_integers_are_refused():
    with pytest.raises(TypeError, match="integers; got float64"):
        evaluate([0, 1], HALF, [5.0, 5.0])
