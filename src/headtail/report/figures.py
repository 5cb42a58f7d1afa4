"""The plots of a report as PDF and PNG, for a paper."""

import os
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headtail.files import check_new_folder, written_whole
from headtail.report import draw
from headtail.report.model import Report

__all__ = ["PLOTS", "figures_of", "new_figure", "save_figure", "write_figures"]

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


class Plot(NamedTuple):
    """How a figure is drawn, its size in inches, and what the method must have."""

    draw: Callable[..., None]
    size: tuple[float, float]
    needs: Literal["recall", "gain_at_distance", "maps"] = "recall"


# By file name.
PLOTS = {
    "groups": Plot(draw.draw_groups, (4.5, 3.2)),
    "recall": Plot(draw.draw_recall, (7.0, 3.2)),
    "gains": Plot(draw.draw_gains, (4.5, 3.0)),
    "gain-at-distance": Plot(draw.draw_distance, (4.5, 3.0), "gain_at_distance"),
    "confusion": Plot(draw.draw_confusion, (4.5, 2.4)),
    "calibration": Plot(draw.draw_calibration, (3.6, 3.4)),
    "map": Plot(draw.draw_first_map, (5.5, 3.4), "maps"),
}


def figures_of(report: Report) -> dict[str, Figure]:
    """Return the figures that the report's method has something for, by name."""
    result = report.result(report.method)
    return {
        name: new_figure(plot.size, partial(plot.draw, report=report))
        for name, plot in PLOTS.items()
        if getattr(result, plot.needs)
    }


def new_figure(size: tuple[float, float], paint: Callable[[Axes], None]) -> Figure:
    """Return a figure of one plot, in the library's style."""
    with rc_context(STYLE):
        figure = Figure(size, layout="constrained")
        paint(figure.subplots())
    return figure


def write_figures(report: Report, path: str | os.PathLike[str]) -> list[Path]:
    """Write every figure that there is as PDF and PNG into a new folder.

    The same report gives the same bytes. Returns the files' paths.
    """
    path = check_new_folder(path)
    written: list[str] = []
    with written_whole(path) as folder:
        folder.mkdir()
        for name, figure in figures_of(report).items():
            written += save_figure(figure, folder, name)
    return [path / name for name in written]


def save_figure(figure: Figure, folder: Path, name: str) -> list[str]:
    """Write a figure as PDF and PNG without a date; return the files' names."""
    pdf, png = f"{name}.pdf", f"{name}.png"
    with rc_context(STYLE), warnings.catch_warnings():
        # A name may have letters that the font has not: it shows a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        dateless = {"CreationDate": None, "Creator": None, "Producer": None}
        # In memory first: matplotlib leaves files open that cannot be written whole.
        page, picture = BytesIO(), BytesIO()
        figure.savefig(page, format="pdf", metadata=dateless)
        figure.savefig(picture, format="png", dpi=200, metadata={"Software": None})
    (folder / pdf).write_bytes(page.getvalue())
    (folder / png).write_bytes(picture.getvalue())
    return [pdf, png]
