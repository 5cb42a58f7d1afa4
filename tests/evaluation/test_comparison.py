import csv
import io
import json
import math

import numpy as np
import pytest

from headtail.evaluation import compare_predictions
from headtail.evaluation.bootstrap import interval
from headtail.evaluation.metrics import FIGURES

COUNTS = [300, 300, 5, 5]


def correlated_predictions(n_per_class=30, seed=0):
    """Two methods that err on mostly the same examples; no medium-shot class."""
    rng = np.random.default_rng(seed)
    y_true = np.repeat(np.arange(4), n_per_class)
    first = y_true.copy()
    wrong = rng.random(len(y_true)) < 0.4
    first[wrong] = (first[wrong] + 1) % 4
    second = first.copy()
    mended = wrong & (rng.random(len(y_true)) < 0.2)
    second[mended] = y_true[mended]
    eye = 0.9 * np.eye(4) + 0.025
    return {"before": eye[first], "after": eye[second]}, y_true


def compare_correlated(**options):
    predictions, y_true = correlated_predictions()
    options = {"n_replicates": 100, **options}
    return compare_predictions(predictions, y_true, COUNTS, **options)


def test_a_method_minus_itself_is_exactly_zero():
    comparison = compare_correlated()
    gaps = comparison.difference("before")
    for name in set(FIGURES) - {"medium"}:
        assert (gaps[name].value, gaps[name].low, gaps[name].high) == (0, 0, 0)
    assert math.isnan(gaps["medium"].value)
    assert math.isnan(gaps["medium"].low)


def test_difference_is_that_of_the_figures_and_turns_with_the_reference():
    comparison = compare_correlated()
    forth = comparison.difference("after")
    back = comparison.difference("before", "after")
    before, after = comparison.evaluations.values()
    for name in set(FIGURES) - {"medium"}:
        assert forth[name].value == after[name].value - before[name].value
        assert back[name].value == -forth[name].value
        assert back[name].low == pytest.approx(-forth[name].high)
        assert (forth[name].n, forth[name].n_classes) == (
            after[name].n,
            after[name].n_classes,
        )
    assert forth["all"].value > 0


def test_paired_interval_is_narrower_than_the_unpaired_one():
    paired = compare_correlated(n_replicates=400).difference("after")
    apart = compare_correlated(n_replicates=400, seed=1)
    before = compare_correlated(n_replicates=400).evaluations["before"].replicates
    after = apart.evaluations["after"].replicates
    ends = interval(after - before)
    for name in ("all", "many", "few", "micro_accuracy"):
        low, high = ends[FIGURES.index(name)]
        # Four of five errors are shared: half the width is a weak demand.
        assert paired[name].high - paired[name].low < 0.75 * (high - low)


def test_every_method_sees_the_same_replicates():
    predictions, y_true = correlated_predictions()
    twice = {"one": predictions["before"], "two": predictions["before"]}
    comparison = compare_predictions(twice, y_true, COUNTS, n_replicates=10)
    one, two = comparison.evaluations.values()
    np.testing.assert_array_equal(one.replicates, two.replicates)


def test_the_first_method_is_the_reference_unless_another_is_named():
    assert compare_correlated().reference == "before"
    other = compare_correlated(reference="after")
    assert other.difference("before")["all"].value < 0
    assert other.as_json()["reference"] == "after"


def test_json_parses_without_nan_and_is_the_same_text_for_the_same_input():
    def refuse(constant):
        raise AssertionError(constant)

    text = compare_correlated(provenance={"seed": 0}).to_json()
    data = json.loads(text, parse_constant=refuse)
    assert data["methods"]["after"]["medium"]["accuracy"] is None
    assert data["methods"]["after"]["difference"]["medium"]["value"] is None
    assert set(data["methods"]["before"]["difference"]) == set(FIGURES)
    assert data["methods"]["before"]["difference"]["all"]["ci95"] == [0, 0]
    assert data["class_counts"] == COUNTS
    assert data["class_sizes"] == [30] * 4
    assert data["provenance"] == {"seed": 0}
    assert text == compare_correlated(provenance={"seed": 0}).to_json()
    assert text != compare_correlated(provenance={"seed": 0}, seed=1).to_json()


def test_json_does_not_depend_on_the_order_of_facts_and_takes_no_nan():
    texts = {
        compare_correlated(provenance=facts).to_json()
        for facts in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    }
    assert len(texts) == 1
    with pytest.raises(ValueError, match="not JSON compliant"):
        compare_correlated(provenance={"a": math.nan}).to_json()


def test_json_has_null_for_the_recall_of_a_class_that_does_not_occur():
    comparison = compare_predictions(
        {"m": np.array([[1.0, 0.0]])}, np.array([0]), [5, 5], n_replicates=2
    )
    data = json.loads(comparison.to_json())
    assert data["methods"]["m"]["recall"] == [1, None]


def test_csv_has_a_line_per_method_and_figure_and_leaves_undefined_empty():
    comparison = compare_correlated()
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [(row["method"], row["figure"]) for row in rows] == [
        (method, figure) for method in ("before", "after") for figure in FIGURES
    ]
    for row in rows:
        figure = comparison.evaluations[row["method"]][row["figure"]]
        gap = comparison.difference(row["method"])[row["figure"]]
        names = ("value", "low", "high", "difference", "difference_low")
        numbers = (figure.value, figure.low, figure.high, gap.value, gap.low)
        for name, number in zip(names, numbers, strict=True):
            if math.isnan(number):
                assert row[name] == ""
            else:
                assert float(row[name]) == number
        assert (int(row["n_classes"]), int(row["n"])) == (figure.n_classes, figure.n)
    assert {row["value"] for row in rows if row["figure"] == "medium"} == {""}


def test_text_is_a_table_of_groups_with_the_difference_in_all():
    # One test example per class: every replicate is the test set itself.
    predictions = {"plain": np.eye(3)[[0, 1, 0]], "better": np.eye(3)}
    comparison = compare_predictions(
        predictions, np.arange(3), [200, 5, 5], n_replicates=4
    )
    assert comparison.to_text().splitlines() == [
        "method                    all                  many  medium"
        "                   few           all - plain",
        "-" * 103,
        "classes                     3                     1       0"
        "                     2",
        "plain       66.7 [66.7, 66.7]  100.0 [100.0, 100.0]       –"  # noqa: RUF001
        "     50.0 [50.0, 50.0]",
        "better   100.0 [100.0, 100.0]  100.0 [100.0, 100.0]       –"  # noqa: RUF001
        "  100.0 [100.0, 100.0]  +33.3 [+33.3, +33.3]",
    ]


def test_an_unknown_reference_is_refused_with_the_known_methods():
    with pytest.raises(ValueError, match=r"\['before', 'after'\]; got 'nobody'"):
        compare_correlated(reference="nobody")


def test_no_method_is_refused():
    with pytest.raises(ValueError, match="at least one method; got none"):
        compare_predictions({}, np.array([0]), [5])
