"""What a reader should know before trusting the figures: checks with codes.

Every check is a small function from a report to a `Finding`, explained under its
code in ``docs/how-to/read-a-report.md``. Thresholds are counts or standard errors.
"""

from collections.abc import Callable

from headtail.report.model import Finding, Number, Report
from headtail.report.wording import above, below, counted, listed, percent, points

__all__ = ["CHECKS", "find"]

# Fewer classes than this make the mean of a group hang on one of them.
MIN_CLASSES = 5
# A class recognised never: with fewer test examples than this it may be chance.
MIN_EXAMPLES = 5
STANDARD_ERRORS = 2.0
# Three groups are looked at, so each has to be further out.
CALIBRATION_ERRORS = 2.5

Check = Callable[[Report], Finding]


def find(report: Report) -> tuple[Finding, ...]:
    """Return the outcome of every check, in the order of their codes."""
    return tuple(check(report) for check in CHECKS)


def absent_classes(report: Report) -> Finding:
    """LT001: classes without a test example count in no figure."""
    table = report.classes
    absent = [
        name for name, size in zip(table.names, table.sizes, strict=True) if not size
    ]
    return _finding(
        "LT001",
        "class absent from the test set",
        bool(absent),
        f"Without test example, so in no figure, {counted(len(absent))} of "
        f"{len(table.names)}: {listed(absent)}.",
        "Every class has a test example.",
    )


def small_groups(report: Report) -> Finding:
    """LT002: a group's mean over a handful of classes hangs on each of them."""
    small = [group for group in report.groups if 0 < group.n_tested < MIN_CLASSES]
    text = ", ".join(f"{group.name} ({group.n_tested})" for group in small)
    return _finding(
        "LT002",
        f"shot group with fewer than {MIN_CLASSES} classes",
        bool(small),
        f"So few classes of a group are in the test set: {text}. Its accuracy hangs on "
        "each of them, which its interval, over examples alone, does not show.",
        f"Every group that is not empty has {MIN_CLASSES} classes in the test set.",
    )


def tail_paid_by_head(report: Report) -> Finding:
    """LT003: the few-shot classes gain and a group above loses, both surely."""
    code, title = "LT003", "the tail's gain is paid by the head"
    gains = report.result(report.method).gains
    few = gains["few"]
    others = [name for name in ("many", "medium") if gains[name].value is not None]
    if not others:
        text = "There is no many-shot and no medium-shot class in the test set."
        return Finding(code, title, "not applicable", text)
    missing = _no_intervals(report, few, *(gains[name] for name in others))
    if missing:
        return Finding(code, title, "not applicable", missing)
    payers = [name for name in others if below(gains[name])]
    losses = " and ".join(f"{name}-shot {points(gains[name])}" for name in payers)
    return _finding(
        code,
        title,
        above(few) and bool(payers),
        f"{report.method} changes the few-shot classes by {points(few)}, and others "
        f"pay: {losses}. Over all classes that is {points(gains['all'])}.",
        "Not both of them: a sure gain of the few-shot classes and a sure loss of the "
        "many-shot or the medium-shot ones.",
    )


def no_difference(report: Report) -> Finding:
    """LT004: over all classes the interval of the gain holds 0."""
    code, title = "LT004", "no difference shown over all classes"
    gain = report.result(report.method).gains["all"]
    missing = _no_intervals(report, gain)
    if missing:
        return Finding(code, title, "not applicable", missing)
    return _finding(
        code,
        title,
        not (above(gain) or below(gain)),
        f"The gain of {report.method} over all classes, {points(gain)}, has an "
        "interval that holds 0: this test set does not tell it from the reference.",
        "The interval of the gain over all classes does not hold 0.",
    )


def never_recognised(report: Report) -> Finding:
    """LT005: classes of which no test example is recognised."""
    result, table = report.result(report.method), report.classes
    tested = [c for c, size in enumerate(table.sizes) if size >= MIN_EXAMPLES]
    code, title = "LT005", "class never recognised"
    if not tested:
        text = f"No class has {MIN_EXAMPLES} test examples."
        return Finding(code, title, "not applicable", text)
    never = [table.names[c] for c in tested if result.recall[c] == 0]
    return _finding(
        code,
        title,
        bool(never),
        f"Of {counted(len(never))} with {MIN_EXAMPLES} test examples or more "
        f"{result.name} recognises none: {listed(never)}.",
        f"Of every class with {MIN_EXAMPLES} test examples one is recognised.",
    )


def swallowed_tail(report: Report) -> Finding:
    """LT006: mistaken few-shot classes go to many-shot ones more than evenly."""
    code, title = "LT006", "the head swallows the tail"
    sizes = {group.name: group.n_classes for group in report.groups}
    confusion = report.result(report.method).confusion
    share, error = confusion.tail_to_head, confusion.tail_to_head_error
    if share is None or error is None or not sizes["many"]:
        text = "There is no many-shot class, or not two mistaken few-shot classes."
        return Finding(code, title, "not applicable", text)
    even = sizes["many"] / (sum(sizes.values()) - 1)
    return _finding(
        code,
        title,
        share > even + STANDARD_ERRORS * error,
        f"Where {report.method} mistakes a few-shot class, it answers with a many-shot "
        f"one in {percent(share)} % of the cases; {percent(even)} % of the other "
        "classes are many-shot.",
        f"Mistaken few-shot classes go to many-shot ones in {percent(share)} % of the "
        f"cases, in keeping with their number ({percent(even)} % of the classes).",
    )


def overconfident(report: Report) -> Finding:
    """LT007: for answers of a group the probabilities promise more than they hold."""
    code, title = "LT007", "probabilities promise too much"
    groups = report.result(report.method).calibration
    known = {
        name: (part.gap, part.gap_error)
        for name, part in groups.items()
        if part.gap is not None and part.gap_error is not None and name != "all"
    }
    if not known:
        text = "No group has two test examples."
        return Finding(code, title, "not applicable", text)
    over = [
        f"{name} ({percent(gap, '+')} points)"
        for name, (gap, error) in known.items()
        if gap > CALIBRATION_ERRORS * error
    ]
    return _finding(
        code,
        title,
        bool(over),
        f"Where {report.method} answers with a class of these groups, its confidence "
        f"is above its accuracy by more than {CALIBRATION_ERRORS:g} standard errors: "
        f"{', '.join(over)}. Do not read its probabilities as chances there; calibrate "
        "them on validation data.",
        "For answers of no group is the confidence surely above the accuracy.",
    )


def unbalanced_test(report: Report) -> Finding:
    """LT008: accuracy over examples says something else than over classes."""
    code, title = "LT008", "the test set's frequent classes speak louder"
    figures = report.result(report.method).figures
    macro, micro = figures["all"], figures["micro_accuracy"].value
    if macro.low is None or macro.high is None or micro is None:
        return Finding(code, title, "not applicable", "There are no intervals.")
    return _finding(
        code,
        title,
        not macro.low <= micro <= macro.high,
        f"Of the test examples {percent(micro)} % are right, of a mean class "
        f"{percent(macro.value)} %: the test set is unbalanced. The figures here are "
        "means over classes.",
        "Counted over examples or over classes, the accuracy is the same within its "
        "interval.",
    )


def unclear_winner(report: Report) -> Finding:
    """LT009: the highest of several methods is not surely the best."""
    code, title = "LT009", "the highest figure is not clearly the best method"
    if len(report.methods) < 2:
        text = "One method alone was evaluated."
        return Finding(code, title, "not applicable", text)
    best, *rivals = report.rivals
    if report.result(best).figures["all"].low is None:
        text = "There are no intervals."
        return Finding(code, title, "not applicable", text)
    return _finding(
        code,
        title,
        bool(rivals),
        f"{best} is highest over all classes; the test set does not tell it from "
        f"{listed(rivals)}. Choose between methods on validation data.",
        f"{best} is above every other method over all classes, each difference beyond "
        "its interval. A choice between methods still belongs to validation data.",
    )


def shared_examples(report: Report) -> Finding:
    """LT010: test examples that were trained on."""
    code, title = "LT010", "test examples among the training examples"
    shared = report.shared_examples
    if shared is None:
        text = "The features were not compared."
        return Finding(code, title, "not applicable", text)
    return _finding(
        code,
        title,
        shared > 0,
        f"{shared} of {sum(report.classes.sizes)} test examples have exactly the "
        "features of a training example. If they are the same examples, the figures "
        "are too high: remove them.",
        "No test example has the features of a training example.",
    )


def few_test_examples(report: Report) -> Finding:
    """LT011: intervals are too narrow where classes have few test examples."""
    scarce = [g for g in report.groups if 0 < g.n < MIN_EXAMPLES * g.n_tested]
    text = ", ".join(
        f"{group.name} ({group.n / group.n_tested:.1f})" for group in scarce
    )
    return _finding(
        "LT011",
        f"fewer than {MIN_EXAMPLES} test examples per class",
        bool(scarce),
        f"Mean test examples per class: {text}. The bootstrap draws anew within each "
        "class, which is too tame for so few: intervals are narrower than they should "
        "be, and there are none where classes have one each.",
        f"The classes of every group have {MIN_EXAMPLES} test examples on average.",
    )


CHECKS: tuple[Check, ...] = (
    absent_classes,
    small_groups,
    tail_paid_by_head,
    no_difference,
    never_recognised,
    swallowed_tail,
    overconfident,
    unbalanced_test,
    unclear_winner,
    shared_examples,
    few_test_examples,
)


def _finding(code: str, title: str, found: bool, yes: str, no: str) -> Finding:
    return Finding(code, title, "found" if found else "not found", yes if found else no)


def _no_intervals(report: Report, *gains: Number) -> str | None:
    if report.method == report.reference:
        return "The method is the reference: there is nothing to compare."
    if any(gain.value is None for gain in gains):
        return "A group has no class in the test set."
    if any(gain.low is None for gain in gains):
        return "There are no intervals."
    return None
