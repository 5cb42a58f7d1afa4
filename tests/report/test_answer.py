import pytest

from headtail.report import about
from headtail.report.answer import answer


@pytest.fixture
def turned(make_report, make_result):
    """Return the answer of a report with these gains."""

    def turn(few, many, before=(0.3, 0.2, 0.4), after=(0.4, 0.3, 0.5), head=(0.9,) * 3):
        old, new = ({"few": level, "many": head} for level in (before, after))
        gains = {"few": few, "many": many, "all": (0.05, 0.02, 0.08)}
        methods = (make_result("old", old), make_result("new", new, gains))
        return answer(make_report(methods=methods))

    return turn


def test_a_sure_gain_at_no_cost(turned):
    assert turned((0.1, 0.05, 0.15), (0.01, -0.01, 0.03)) == (
        "new lifts the few-shot classes, from 30.0 to 40.0 % "
        "(+10.0 points [+5.0, +15.0]); over all classes: +5.0 points [+2.0, +8.0]; "
        "no sure change of the many-shot classes: +1.0 points [-1.0, +3.0]."
    )


@pytest.mark.parametrize(
    ("few", "verb"),
    [
        ((0.1, 0.001, 0.2), "lifts"),
        ((0.1, 0.0, 0.2), "does not measurably change"),
        ((-0.1, -0.2, 0.0), "does not measurably change"),
        ((-0.1, -0.2, -0.001), "lowers"),
    ],
)
def test_the_verb_follows_the_interval(turned, few, verb):
    assert turned(few, (0.0, -0.1, 0.1)).startswith(f"new {verb} the few-shot classes")


@pytest.mark.parametrize(
    ("many", "words"),
    [
        ((-0.1, -0.2, -0.05), "the many-shot classes pay: -10.0 points [-20.0, -5.0]"),
        ((0.1, 0.05, 0.2), "the many-shot classes gain too: +10.0 points"),
        ((0.1, -0.05, 0.2), "no sure change of the many-shot classes: +10.0 points"),
    ],
)
def test_the_cost_is_told(turned, many, words):
    assert words in turned((0.1, 0.05, 0.15), many)


@pytest.mark.parametrize(
    ("medium", "told"), [((-0.1, -0.2, -0.05), True), ((-0.1, -0.2, 0.05), False)]
)
def test_the_medium_shot_classes_may_pay_too(make_report, make_result, medium, told):
    gains = {"few": (0.1, 0.05, 0.2), "medium": medium}
    report = make_report(methods=(make_result("old"), make_result("new", None, gains)))
    words = "the medium-shot classes pay: -10.0 points [-20.0, -5.0]"
    assert (words in answer(report)) == told


def test_without_intervals_the_sign_decides(turned):
    text = turned((0.1, None, None), (-0.1, None, None))
    assert "lifts the few-shot classes, from 30.0 to 40.0 % (+10.0 points);" in text
    assert "the many-shot classes pay: -10.0 points." in text
    assert "does not measurably change" in turned((0.0, None, None), (0.0, None, None))


def test_without_few_shot_classes_it_speaks_of_the_medium_ones(turned):
    none = (None, None, None)
    text = turned(none, (0.0, -0.1, 0.1), none, none)
    assert text.startswith("new does not measurably change the medium-shot classes")


def test_without_many_shot_classes_no_cost_is_told(turned):
    none = (None, None, None)
    text = turned((0.1, 0.05, 0.15), none, head=none)
    assert "many-shot" not in text
    assert text.endswith("over all classes: +5.0 points [+2.0, +8.0].")


def test_a_method_alone_is_compared_with_nothing(make_report, make_result):
    text = answer(make_report(method="old", methods=(make_result("old"),)))
    assert text == (
        "old reaches 50.0 %, 50.0 % on the few-shot classes; nothing was compared with "
        "it."
    )


def test_the_reference_is_what_others_are_compared_with(make_report):
    text = answer(make_report(method="old"))
    assert text == (
        "old reaches 50.0 %, 50.0 % on the few-shot classes; it is what the others are "
        "compared with."
    )


def test_about_turns_answer_and_findings_to_another_method(make_report):
    report = make_report()
    turned = about(report, "old", "to look at it")
    assert (turned.method, turned.chosen_by) == ("old", "to look at it")
    assert turned.answer == answer(turned)
    assert {f.code: f.outcome for f in turned.findings}["LT004"] == "not applicable"
    with pytest.raises(ValueError, match=r"one of \['old', 'new'\]; got 'none'"):
        about(report, "none")
