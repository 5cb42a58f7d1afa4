"""A report as JSON, and back with every part checked."""

import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from headtail.evaluation import FIGURES
from headtail.files import existing_file, written_whole
from headtail.report.model import GROUPS, MethodResult, Report

__all__ = ["REPORT_FILE", "load_report", "save_report"]

# In the folder of a comparison.
REPORT_FILE = "report.json"

_ADAPTER = TypeAdapter(Report)


def save_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Write a report as JSON; the same report gives the same bytes."""
    with written_whole(path) as temporary:
        temporary.write_bytes(_ADAPTER.dump_json(report, indent=1) + b"\n")


def load_report(run: str | os.PathLike[str]) -> Report:
    """Read the report of a comparison's folder, or a report's file.

    Raises
    ------
    OSError
        If there is no such folder or file.
    ValueError
        If the file is no report, or its parts do not fit each other.
    """
    path = Path(run)
    if path.is_dir():
        if not (path / REPORT_FILE).exists():
            raise FileNotFoundError(
                f"{path} must hold {REPORT_FILE}, as `headtail compare -o` writes it; "
                "it does not. Compare again."
            )
        path = path / REPORT_FILE
    path = existing_file(path)
    try:
        report = _ADAPTER.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{path} must be a report, as `headtail compare -o` writes it; {where}: "
            f"{first['msg']}. Compare again."
        ) from error
    misfit = _misfit(report)
    if misfit:
        raise ValueError(
            f"{path} must be a report whose parts fit each other; {misfit}. Compare "
            "again."
        )
    return report


def _misfit(report: Report) -> str | None:
    """Say what does not fit: lengths, keys, or a class or method that there is not."""
    table, n_classes = report.classes, len(report.classes.names)
    lengths = {len(table.counts), len(table.sizes), len(table.groups)}
    if lengths != {n_classes}:
        return f"{n_classes} class names stand beside columns of {sorted(lengths)}"
    if tuple(group.name for group in report.groups) != GROUPS:
        return f"the groups must be {list(GROUPS)}, in this order"
    names = [method.name for method in report.methods]
    if len(set(names)) < len(names):
        return "methods have the same name"
    if not names or not {report.method, report.reference, *report.rivals} <= set(names):
        return "the method, the reference or a rival is none of the methods"
    if not report.rivals:
        return "rivals must begin with the highest method"
    if any(rank >= n_classes for rank in report.trend_ranks):
        return f"a trend rank lies beyond the {n_classes} classes"
    misfits = (_method_misfit(method, report) for method in report.methods)
    return next((misfit for misfit in misfits if misfit), None)


def _method_misfit(method: MethodResult, report: Report) -> str | None:
    name, n_classes = method.name, len(report.classes.names)
    given, bars = method.donors, method.gain_bars
    if len(method.recall) != n_classes:
        return f"{name} has {len(method.recall)} recalls of {n_classes} classes"
    tested = [size > 0 for size in report.classes.sizes]
    if [recall is not None for recall in method.recall] != tested:
        return f"{name} must have a recall for the classes with test examples alone"
    if len(method.trend) != len(report.trend_ranks):
        return f"the trend of {name} has {len(method.trend)} points"
    if not set(FIGURES) <= set(method.figures) or not set(FIGURES) <= set(method.gains):
        return f"{name} lacks some of the figures {list(FIGURES)}"
    groups = {"all", *GROUPS}
    if set(method.calibration) != groups:
        return f"the calibration of {name} must have the groups {sorted(groups)}"
    for part in method.calibration.values():
        if not len(part.confidence) == len(part.accuracy) == len(part.n):
            return f"the calibration of {name} has columns of several lengths"
    counts = [bars.counts.get(group, ()) for group in groups]
    if not groups <= set(bars.unchanged) or any(
        len(row) != len(bars.edges) - 1 for row in counts
    ):
        return f"the gain bars of {name} must have a count per bin for every group"
    if [len(row) for row in method.confusion.rates] != [4, 4, 4]:
        return f"the confusion of {name} must have three rows of four rates"
    positions = [c for p in method.confusion.pairs for c in (p.true, p.predicted)]
    if given is not None:
        positions += [*given.receivers, *(c for row in given.donors for c in row)]
        rows = {len(given.donors), len(given.shares), len(given.distances)}
        pairs = zip(given.donors, given.shares, strict=False)
        if rows != {len(given.receivers)} or any(len(d) != len(s) for d, s in pairs):
            return f"the donors of {name} are columns of several lengths"
    for one in method.maps:
        positions += [one.receiver, *one.donors, *one.classes]
        if {len(one.kinds), len(one.x), len(one.y)} != {len(one.classes)}:
            return f"a map of {name} has columns of several lengths"
    if positions and max(positions) >= n_classes:
        return f"{name} names a class beyond the {n_classes}"
    return None
