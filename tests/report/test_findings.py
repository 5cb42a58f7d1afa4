import re
from pathlib import Path

import pytest

from headtail.report.findings import CHECKS, find
from headtail.report.model import Calibration, ClassTable, Group
from tests.report.conftest import confused

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "read-a-report.md"


@pytest.fixture
def outcome(make_report):
    """Return outcome and text of a check on a report with these parts."""

    def check(code, **parts):
        found = {finding.code: finding for finding in find(make_report(**parts))}
        return found[code].outcome, found[code].text

    return check


@pytest.fixture
def with_new(make_result):
    """Return the two methods, the second with these parts."""
    return lambda **parts: (make_result("old"), make_result("new", **parts))


def groups(*sizes, n=50):
    names = ("many", "> 100"), ("medium", "20 to 100"), ("few", "< 20")
    return tuple(
        Group(*name, size, size, n) for name, size in zip(names, sizes, strict=True)
    )


def table(sizes):
    return ClassTable(
        names=("a", "b", "c", "d"),
        counts=(200, 50, 9, 3),
        sizes=sizes,
        groups=("many", "medium", "few", "few"),
    )


def test_every_code_is_explained_and_they_are_in_order(make_report):
    findings = find(make_report())
    codes = [finding.code for finding in findings]
    assert codes == [f"LT{number:03}" for number in range(1, len(CHECKS) + 1)]
    page = PAGE.read_text(encoding="utf-8")
    for finding in findings:
        assert re.search(rf"^### {finding.code}: {finding.title}", page, re.M)
    assert len(re.findall(r"^### LT", page, re.M)) == len(CHECKS)


def test_classes_without_test_examples_are_named(outcome):
    assert outcome("LT001")[0] == "not found"
    found, text = outcome("LT001", classes=table((10, 0, 10, 0)))
    assert found == "found"
    assert text.endswith("in no figure, 2 classes of 4: b, d.")


def test_long_lists_of_names_are_cut(outcome):
    names = tuple(f"c{number}" for number in range(9))
    many = ClassTable(names, (9,) * 9, (0,) * 9, ("few",) * 9)
    text = outcome("LT001", classes=many)[1]
    assert "c0, c1, c2, c3, c4 and 4 more." in text


@pytest.mark.parametrize(
    ("sizes", "found"),
    [((5, 5, 5), "not found"), ((5, 4, 5), "found"), ((0, 5, 5), "not found")],
)
def test_small_groups_are_found_and_empty_ones_are_not(outcome, sizes, found):
    assert outcome("LT002", groups=groups(*sizes))[0] == found


def test_small_groups_are_named_with_their_size(outcome):
    assert "medium (4), few (1)" in outcome("LT002", groups=groups(9, 4, 1))[1]


@pytest.mark.parametrize(
    ("few", "many", "found"),
    [
        ((0.1, 0.01, 0.2), (-0.1, -0.2, -0.01), "found"),
        ((0.1, 0.0, 0.2), (-0.1, -0.2, -0.01), "not found"),
        ((0.1, 0.01, 0.2), (-0.1, -0.2, 0.0), "not found"),
        ((None, None, None), (-0.1, -0.2, -0.01), "not applicable"),
        ((0.1, None, None), (-0.1, None, None), "not applicable"),
    ],
)
def test_a_tail_paid_by_the_head(outcome, with_new, few, many, found):
    methods = with_new(gains={"few": few, "many": many})
    assert outcome("LT003", methods=methods)[0] == found


def test_what_the_head_pays_is_told(outcome, with_new):
    gains = {"few": (0.1, 0.05, 0.2), "many": (-0.2, -0.3, -0.1)}
    text = outcome("LT003", methods=with_new(gains=gains))[1]
    assert "the few-shot classes by +10.0 points [+5.0, +20.0]" in text
    assert "others pay: many-shot -20.0 points [-30.0, -10.0]. Over" in text
    gains["medium"] = (-0.1, -0.2, -0.05)
    text = outcome("LT003", methods=with_new(gains=gains))[1]
    assert "[-30.0, -10.0] and medium-shot -10.0 points [-20.0, -5.0]. Over" in text


def test_medium_shot_classes_may_pay_where_there_are_no_many_shot_ones(
    outcome, with_new
):
    none = (None, None, None)
    gains = {"few": (0.1, 0.05, 0.2), "medium": (-0.1, -0.2, -0.05), "many": none}
    assert outcome("LT003", methods=with_new(gains=gains))[0] == "found"
    gains["medium"] = none
    assert outcome("LT003", methods=with_new(gains=gains))[0] == "not applicable"


@pytest.mark.parametrize(
    ("gain", "found"),
    [
        ((0.1, 0.01, 0.2), "not found"),
        ((0.1, -0.01, 0.2), "found"),
        ((-0.1, -0.2, -0.01), "not found"),
        ((0.1, None, None), "not applicable"),
    ],
)
def test_no_difference_over_all_classes(outcome, with_new, gain, found):
    assert outcome("LT004", methods=with_new(gains={"all": gain}))[0] == found


@pytest.mark.parametrize("code", ["LT003", "LT004"])
def test_the_reference_has_no_gain_to_judge(outcome, code):
    found, text = outcome(code, method="old")
    assert found == "not applicable"
    assert "is the reference" in text


def test_classes_never_recognised_need_five_test_examples(outcome, with_new):
    methods = with_new(recall=(0.0, 0.5, 0.0, None))
    found, text = outcome("LT005", methods=methods, classes=table((5, 9, 4, 0)))
    assert found == "found"
    assert text == "Of 1 class with 5 test examples or more new recognises none: a."
    few = table((4, 4, 4, 0))
    assert outcome("LT005", methods=methods, classes=few)[0] == "not applicable"
    assert outcome("LT005", classes=table((5, 5, 5, 5)))[0] == "not found"


@pytest.mark.parametrize(
    ("share", "error", "found"),
    [
        # 5 of 14 other classes are many-shot: 35.7 %.
        (0.56, 0.1, "found"),
        (0.55, 0.1, "not found"),
        (0.1, 0.01, "not found"),
        (0.9, None, "not applicable"),
        (None, None, "not applicable"),
    ],
)
def test_a_tail_that_the_head_swallows(outcome, with_new, share, error, found):
    methods = with_new(confusion=confused(share, error))
    assert outcome("LT006", methods=methods, groups=groups(5, 5, 5))[0] == found


def test_without_many_shot_classes_nothing_swallows(outcome):
    assert outcome("LT006", groups=groups(0, 5, 5))[0] == "not applicable"


def test_the_share_of_the_head_is_told_beside_its_number(outcome, with_new):
    text = outcome("LT006", methods=with_new(confusion=confused(0.8, 0.1)))[1]
    assert "in 80.0 % of the cases; 35.7 % of the other" in text


@pytest.mark.parametrize(
    ("gap", "error", "found"),
    [
        (0.26, 0.1, "found"),
        (0.24, 0.1, "not found"),
        (-0.5, 0.1, "not found"),
        (None, None, "not applicable"),
        (0.9, None, "not applicable"),
    ],
)
def test_overconfidence_is_beyond_chance(outcome, with_new, gap, error, found):
    part = Calibration((0.5,), (0.5,), (20,), gap, error)
    groups = ("all", "many", "medium", "few")
    methods = with_new(calibration=dict.fromkeys(groups, part))
    result, text = outcome("LT007", methods=methods)
    assert result == found
    assert ("many (+26.0 points)" in text) == (found == "found")


@pytest.mark.parametrize(
    ("micro", "found"),
    [(0.5, "not found"), (0.39, "found"), (0.61, "found"), (None, "not applicable")],
)
def test_an_unbalanced_test_set(outcome, with_new, micro, found):
    methods = with_new(figures={"micro_accuracy": (micro, None, None)})
    assert outcome("LT008", methods=methods)[0] == found


def test_rivals_of_the_highest_are_named(outcome, make_result):
    found, text = outcome("LT009", rivals=("new", "old"))
    assert found == "found"
    assert "does not tell it from old" in text
    assert outcome("LT009")[0] == "not found"
    none = make_result("new", {"all": (0.5, None, None)})
    bare = outcome("LT009", methods=(make_result("old"), none))
    assert bare == ("not applicable", "There are no intervals.")
    alone = outcome("LT009", methods=(make_result("new"),))
    assert alone[0] == "not applicable"


@pytest.mark.parametrize(
    ("shared", "found"), [(0, "not found"), (3, "found"), (None, "not applicable")]
)
def test_test_examples_that_were_trained_on(outcome, shared, found):
    result, text = outcome("LT010", shared_examples=shared)
    assert result == found
    assert ("3 of 40 test examples" in text) == (found == "found")


@pytest.mark.parametrize(
    ("n", "found"), [(25, "not found"), (24, "found"), (5, "found"), (0, "not found")]
)
def test_few_test_examples_per_class(outcome, n, found):
    result, text = outcome("LT011", groups=groups(5, 5, 5, n=n))
    assert result == found
    assert (f"many ({n / 5:.1f}), medium" in text) == (found == "found")
