"""The answer in one sentence: is the tail better, and at whose cost."""

from dataclasses import replace

from headtail.report.findings import find
from headtail.report.model import MethodResult, Number, Report
from headtail.report.wording import above, below, percent, points

__all__ = ["about", "answer"]


def about(report: Report, method: str, chosen_by: str = "asked for") -> Report:
    """Return the report with its answer and findings about this method."""
    report.result(method)
    turned = replace(report, method=method, chosen_by=chosen_by)
    turned = replace(turned, answer=answer(turned))
    return replace(turned, findings=find(turned))


def answer(report: Report) -> str:
    """Say what the method does to tail, head and all classes, with 95 % intervals."""
    result = report.result(report.method)
    tail = _tail(result)
    if report.method == report.reference:
        return _of_reference(report, result, tail)
    reference = report.result(report.reference)
    before, after = reference.figures[tail], result.figures[tail]
    gain, all_gain = result.gains[tail], result.gains["all"]
    classes = "all classes" if tail == "all" else f"the {tail}-shot classes"
    parts = [
        f"{result.name} {_verb(gain)} {classes}, from {percent(before.value)} to "
        f"{percent(after.value)} % ({points(gain)})"
    ]
    if tail != "all":
        parts.append(f"over all classes: {points(all_gain)}")
    medium = result.gains["medium"]
    if tail == "few" and below(medium):
        parts.append(f"the medium-shot classes pay: {points(medium)}")
    if result.figures["many"].value is not None:
        parts.append(_cost(result.gains["many"]))
    return "; ".join(parts) + "."


def _tail(result: MethodResult) -> str:
    """Return the lowest group that has a class in the test set."""
    for group in ("few", "medium"):
        if result.figures[group].value is not None:
            return group
    return "all"


def _of_reference(report: Report, result: MethodResult, tail: str) -> str:
    parts = [f"{result.name} reaches {percent(result.figures['all'].value)} %"]
    if tail != "all":
        tail_value = percent(result.figures[tail].value)
        parts.append(f"{tail_value} % on the {tail}-shot classes")
    if len(report.methods) == 1:
        return ", ".join(parts) + "; nothing was compared with it."
    return ", ".join(parts) + "; it is what the others are compared with."


def _verb(gain: Number) -> str:
    """Say what happened; without an interval the sign decides."""
    if gain.low is None or gain.high is None:
        up, down = (gain.value or 0) > 0, (gain.value or 0) < 0
    else:
        up, down = above(gain), below(gain)
    return "lifts" if up else "lowers" if down else "does not measurably change"


def _cost(gain: Number) -> str:
    verb = {"lifts": "gain too", "lowers": "pay"}.get(_verb(gain))
    if verb is None:
        return f"no sure change of the many-shot classes: {points(gain)}"
    return f"the many-shot classes {verb}: {points(gain)}"
