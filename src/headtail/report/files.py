"""A report as JSON, and back with every part checked."""

import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from headtail.files import existing_file, written_whole
from headtail.report.model import Report

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
    """Say which part has another length, or names a class that there is not."""
    table, n_classes = report.classes, len(report.classes.names)
    lengths = [len(table.counts), len(table.sizes), len(table.groups)]
    lengths += [len(method.recall) for method in report.methods]
    if set(lengths) != {n_classes}:
        return f"{n_classes} class names stand beside columns of {sorted(set(lengths))}"
    names = [method.name for method in report.methods]
    if not {report.method, report.reference} <= set(names):
        return "the method or the reference is none of the methods"
    for method in report.methods:
        if len(method.trend) != len(report.trend_ranks):
            return f"the trend of {method.name} has {len(method.trend)} points"
        positions = [c for p in method.confusion.pairs for c in (p.true, p.predicted)]
        given = method.donors
        if given is not None:
            positions += [*given.receivers, *(c for row in given.donors for c in row)]
            rows = {len(given.donors), len(given.shares), len(given.distances)}
            if rows != {len(given.receivers)}:
                return f"the donors of {method.name} are columns of several lengths"
        for one in method.maps:
            positions += [one.receiver, *one.donors, *one.classes]
            if {len(one.kinds), len(one.x), len(one.y)} != {len(one.classes)}:
                return f"a map of {method.name} has columns of several lengths"
        if positions and not 0 <= min(positions) <= max(positions) < n_classes:
            return f"{method.name} names a class beyond the {n_classes}"
    return None
