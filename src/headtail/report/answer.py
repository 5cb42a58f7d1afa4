"""The answer in one sentence: is the tail better, and at whose cost."""

from dataclasses import replace

from headtail.report.findings import find
from headtail.report.model import MethodResult, Number, Report
from headtail.report.wording import percent, points

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
        return _alone(result, tail)
    reference = report.result(report.reference)
    before, after = reference.figures[tail], result.figures[tail]
    gain, all_gain = result.gains[tail], result.gains["all"]
    verb = _verb(gain, "lifts", "lowers", "does not measurably change")
    classes = "all classes" if tail == "all" else f"the {tail}-shot classes"
    parts = [
        f"{result.name} {verb} {classes}, from {percent(before.value)} to "
        f"{percent(after.value)} % ({points(gain)})"
    ]
    if tail != "all":
        parts.append(f"over all classes: {points(all_gain)}")
    medium = result.gains["medium"]
    if tail == "few" and medium.value is not None and _verb(medium, "", "-", "") == "-":
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


def _alone(result: MethodResult, tail: str) -> str:
    parts = [f"{result.name} reaches {percent(result.figures['all'].value)} %"]
    if tail != "all":
        tail_value = percent(result.figures[tail].value)
        parts.append(f"{tail_value} % on the {tail}-shot classes")
    return ", ".join(parts) + "; nothing was compared with it."


def _verb(gain: Number, up: str, down: str, unclear: str) -> str:
    if gain.low is None or gain.high is None:
        return unclear if not gain.value else (up if gain.value > 0 else down)
    return up if gain.low > 0 else down if gain.high < 0 else unclear


def _cost(gain: Number) -> str:
    verb = _verb(gain, "gain too", "pay", "keep theirs, within chance")
    return f"the many-shot classes {verb}: {points(gain)}"
