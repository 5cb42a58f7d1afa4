import numpy as np
import pytest

from headtail.evaluation import compare_predictions
from headtail.report import build_report
from tests.report.conftest import ABSENT, COUNTS, NAMES

ORDER = sorted(range(10), key=lambda c: -COUNTS[c])


def test_classes_stand_from_the_most_to_the_fewest_examples(report):
    table = report.classes
    assert table.names == tuple(NAMES[c] for c in ORDER)
    assert table.counts == (150, 120, 101, 30, 20, 19, 9, 5, 3, 2)
    assert table.sizes == tuple(0 if NAMES[c] == ABSENT else 6 for c in ORDER)
    assert table.groups == ("many",) * 3 + ("medium",) * 2 + ("few",) * 5


def test_groups_tell_classes_and_those_in_the_test_set(report):
    groups = {g.name: (g.rule, g.n_classes, g.n_tested, g.n) for g in report.groups}
    assert groups == {
        "many": ("> 100", 3, 3, 18),
        "medium": ("20 to 100", 2, 1, 6),
        "few": ("< 20", 5, 5, 30),
    }


def test_figures_and_gains_are_those_of_the_comparison(report, comparison):
    for name, evaluation in comparison.evaluations.items():
        result, gains = report.result(name), comparison.difference(name)
        for key, figure in evaluation.figures.items():
            shown = result.figures[key]
            assert (shown.value, shown.low, shown.high) == (
                figure.value,
                figure.low,
                figure.high,
            )
            assert result.gains[key].value == gains[key].value
            assert result.gains[key].low == gains[key].low
        recall = [None if np.isnan(r) else round(r, 6) for r in evaluation.recall]
        assert result.recall == tuple(recall[c] for c in ORDER)
    assert report.result("transfer").recall[ORDER.index(NAMES.index(ABSENT))] is None


def test_trends_are_means_over_neighbouring_classes(report):
    result = report.result("transfer")
    assert report.trend_ranks == tuple(range(10))
    for rank, mean in zip(report.trend_ranks, result.trend, strict=True):
        near = [r for r in result.recall[max(rank - 2, 0) : rank + 3] if r is not None]
        assert mean == pytest.approx(np.mean(near), abs=1e-5)


def test_many_classes_have_trends_at_two_hundred_ranks():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(450), 2)
    proba = rng.dirichlet(np.ones(450), size=900)
    comparison = compare_predictions(
        {"one": proba}, y, rng.integers(1, 300, 450), n_replicates=0
    )
    report = build_report(comparison)
    assert len(report.trend_ranks) == 200
    assert report.trend_ranks[0] == 0
    assert report.trend_ranks[-1] == 449
    recall = np.array(report.methods[0].recall)
    middle = report.trend_ranks[100]
    near = recall[middle - 22 : middle + 23]
    assert report.methods[0].trend[100] == pytest.approx(near.mean(), abs=1e-5)


def test_donors_are_those_of_the_classifier(report, comparison):
    given = comparison.explanations["transfer"].donations
    shown = report.result("transfer").donors
    assert shown.receivers == tuple(range(10))
    for rank in shown.receivers:
        row = given.receivers.tolist().index(ORDER[rank])
        donors = [ORDER[d] for d in shown.donors[rank]]
        assert donors == given.donors[row].tolist()
        assert shown.shares[rank] == pytest.approx(given.shares[row], abs=1e-6)
        assert shown.distances[rank] == pytest.approx(given.distances[row], abs=1e-6)
    assert report.result("base").donors is None


def test_maps_name_their_classes(report, comparison):
    found = comparison.explanations["transfer"].maps
    shown = report.result("transfer").maps
    assert len(shown) == len(found) == 5
    for one, other in zip(shown, found, strict=True):
        assert ORDER[one.receiver] == other.label
        assert [ORDER[c] for c in one.donors] == other.donors.tolist()
        assert [ORDER[c] for c in one.classes] == other.labels.tolist()
        assert one.x == pytest.approx(other.coordinates[:, 0], abs=1e-4)
        assert one.y == pytest.approx(other.coordinates[:, 1], abs=1e-4)


def test_confused_pairs_name_classes_of_the_table(report, comparison):
    predicted = comparison.predictions["transfer"].argmax(axis=1)
    pairs = report.result("transfer").confusion.pairs
    assert pairs
    for pair in pairs:
        true, wrong = ORDER[pair.true], ORDER[pair.predicted]
        n = ((comparison.y_true == true) & (predicted == wrong)).sum()
        assert (pair.n, pair.n_of) == (n, 6)
        assert pair.rate == pytest.approx(n / 6)


def test_bars_count_the_classes_of_the_test_set(report):
    bars = report.result("transfer").gain_bars
    total = {n: sum(row) + bars.unchanged[n] for n, row in bars.counts.items()}
    assert total == {"many": 3, "medium": 1, "few": 5, "all": 9}
    assert sum(bars.counts["all"]) > 4
    same = report.result("base").gain_bars
    assert (same.counts["all"], same.unchanged["all"]) == ((0,), 9)


def test_gains_at_distances_are_those_of_few_shot_classes(report):
    result = report.result("transfer")
    before = report.result("base").recall
    gains = np.subtract(result.recall[-5:], before[-5:])
    bins = result.gain_at_distance
    assert sum(one.n for one in bins) == 5
    assert sorted(one.gain for one in bins) == pytest.approx(sorted(gains), abs=1e-5)
    far = sorted(result.donors.distances[-5:])
    assert [one.distance for one in bins] == pytest.approx(far, abs=1e-6)


def test_the_answer_is_about_the_first_method_that_is_not_the_reference(comparison):
    report = build_report(comparison)
    assert (report.method, report.reference) == ("transfer", "base")
    assert report.chosen_by == "the first of the methods compared"
    assert report.answer.startswith("transfer ")
    asked = build_report(comparison, "base")
    assert (asked.method, asked.chosen_by) == ("base", "asked for")


def test_an_unknown_method_is_refused(comparison):
    with pytest.raises(ValueError, match=r"one of \['base', 'transfer'\]; got 'new'"):
        build_report(comparison, "new")


def test_facts_tell_data_seed_and_versions(report, comparison):
    facts = dict(report.facts)
    train = comparison.provenance["train"]
    assert facts["train: fingerprint"] == train["fingerprint"]
    assert facts["test: n samples"] == "54"
    assert facts["bootstrap replicates"] == "200"
    assert facts["seed"] == "0"
    assert "version of torch" in facts
    settings = dict(report.result("transfer").settings)
    assert settings["temperature"] == "10"


def test_long_lists_among_the_settings_are_cut():
    y = np.repeat([0, 1], 4)
    facts = {"selections": {"one": {"best": {"k": 2}, "missing": list(range(12))}}}
    proba = {"one": np.full((8, 2), 0.5)}
    comparison = compare_predictions(proba, y, [9, 2], n_replicates=0, provenance=facts)
    settings = dict(build_report(comparison).methods[0].settings)
    assert settings["chosen: best"] == "k = 2"
    missing = settings["chosen: missing"]
    assert missing == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9] and 2 more"


def test_rivals_are_methods_that_the_test_set_does_not_tell_from_the_best():
    y = np.repeat(np.arange(3), 40)
    right = np.eye(3)[y]
    nearly = right.copy()
    nearly[0] = np.eye(3)[1]
    wrong = np.eye(3)[(y + (np.arange(120) % 2)) % 3]
    comparison = compare_predictions(
        {"wrong": wrong, "nearly": nearly, "right": right}, y, [200, 50, 5]
    )
    assert build_report(comparison).rivals == ("right", "nearly")


def test_shared_examples_come_from_the_comparison(report):
    assert report.shared_examples == 0
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(2), size=4)
    bare = compare_predictions({"one": proba}, [0, 1, 0, 1], [9, 2], n_replicates=0)
    made = build_report(bare)
    assert made.shared_examples is None
    assert made.classes.names == ("0", "1")
    assert (made.method, made.reference) == ("one", "one")
    assert made.methods[0].figures["all"].low is None


def test_one_test_example_per_class_has_no_intervals():
    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=3)
    comparison = compare_predictions(
        {"one": proba, "two": proba[::-1]}, [0, 1, 2], [200, 50, 5]
    )
    report = build_report(comparison)
    figure = report.methods[1].figures["all"]
    assert (figure.low, figure.high) == (None, None)
    assert report.methods[1].gains["few"].low is None
    outcomes = {finding.code: finding.outcome for finding in report.findings}
    assert outcomes["LT004"] == outcomes["LT009"] == "not applicable"
    assert outcomes["LT011"] == "found"


def test_without_intervals_nothing_is_above_the_others():
    y = np.repeat([0, 1], 10)
    right = np.eye(2)[y]
    nearly = right.copy()
    nearly[0] = [0, 1]
    comparison = compare_predictions(
        {"right": right, "nearly": nearly}, y, [200, 5], n_replicates=0
    )
    assert build_report(comparison).rivals == ("right", "nearly")
