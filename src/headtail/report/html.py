"""A report as one page that needs no network."""

import base64
import hashlib
import json
import os
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from headtail.files import written_whole
from headtail.report.model import Donors, Number, Report
from headtail.report.thumbnails import Thumbnails
from headtail.report.wording import percent, points

__all__ = ["to_html", "write_html"]

_ASSETS = files("headtail.report") / "assets"
# Donors of a class on a page; above so many classes fewer, to keep it below 8 MB.
_DONORS, _FEW_DONORS, _MANY_CLASSES = 5, 3, 2000
# Columns of the table of methods: name of the figure and heading.
_COLUMNS = (
    ("few", "few-shot"),
    ("medium", "medium-shot"),
    ("many", "many-shot"),
    ("all", "all classes"),
    ("micro_accuracy", "per example"),
    ("top5_accuracy", "top 5"),
    ("worst_class_recall", "worst class"),
    ("expected_calibration_error", "calibration error"),
)


def write_html(
    report: Report,
    path: str | os.PathLike[str],
    *,
    pictures: Thumbnails | None = None,
    title: str | None = None,
) -> None:
    """Write `to_html`'s page; whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(
            to_html(report, pictures=pictures, title=title), "utf-8", newline="\n"
        )


def to_html(
    report: Report, *, pictures: Thumbnails | None = None, title: str | None = None
) -> str:
    """Return a report as one self-contained page; the same input, the same text.

    Scripts, style and figures are inside. A content security policy forbids the page
    every address and every script but its own, and all names stay text.

    Parameters
    ----------
    report
        See `build_report` and `load_report`.
    pictures
        Shown beside the classes, see `thumbnails`.
    title
        Of the page; None for a plain one.
    """
    scripts = [get_plotlyjs(), *map(_asset, ("figures.js", "tables.js", "page.js"))]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title or "Tail and head: a comparison of methods",
            report=report,
            chosen=report.result(report.method),
            before=report.result(report.reference),
            columns=_COLUMNS,
            data=_data(report, pictures),
            scripts=scripts,
            policy=_policy(scripts),
            style=_asset("page.css"),
        )
    )


def _data(report: Report, pictures: Thumbnails | None) -> dict[str, Any]:
    """Return what the page's scripts draw from, in few characters per class."""
    sizes = report.classes.sizes
    n_donors = _DONORS if len(sizes) <= _MANY_CLASSES else _FEW_DONORS
    return {
        "method": report.method,
        "reference": report.reference,
        "classes": asdict(report.classes),
        "trendRanks": report.trend_ranks,
        "methods": {
            method.name: {
                "hits": [
                    None if recall is None else round(recall * size)
                    for recall, size in zip(method.recall, sizes, strict=True)
                ],
                "trend": method.trend,
                "calibration": {
                    name: asdict(part) for name, part in method.calibration.items()
                },
                "confusion": asdict(method.confusion),
                "donors": _donors(method.donors, n_donors),
                "gains": asdict(method.gain_bars),
                "distances": [asdict(one) for one in method.gain_at_distance],
                "maps": [asdict(one) for one in method.maps],
            }
            for method in report.methods
        },
        "pictures": None if pictures is None else asdict(pictures),
    }


def _donors(given: Donors | None, n: int) -> dict[str, Any] | None:
    """Return the n strongest donors; shares in thousandths."""
    if given is None:
        return None
    return {
        "receivers": given.receivers,
        "donors": [row[:n] for row in given.donors],
        "shares": [[round(1000 * x) for x in row[:n]] for row in given.shares],
    }


def _policy(scripts: list[str]) -> str:
    """Allow these scripts, inline style and data URIs; nothing from anywhere."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("headtail.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_function"] = _compact
    environment.filters.update(percent=percent, points=points, interval=_interval)
    return environment


def _compact(value: Any, **_: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)


def _interval(number: Number) -> str:
    if number.low is None or number.high is None:
        return ""
    return f"{percent(number.low)} to {percent(number.high)}"


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
