"""The plots of a report, each drawn into axes of matplotlib."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from headtail.report import colors
from headtail.report.model import Map, Report

__all__ = [
    "draw_calibration",
    "draw_confusion",
    "draw_distance",
    "draw_first_map",
    "draw_gains",
    "draw_groups",
    "draw_map",
    "draw_recall",
]

_GROUPS = ("many", "medium", "few")
# Above this many classes strokes are pixels in a PDF, not paths.
_PATHS = 1000
_SYMBOLS = {"sample": "o", "prototype": "D", "weight": "P", "final": "*"}
_WORDS = {"prototype": "prototype", "weight": "trained", "final": "composed"}
_SIZES = {"sample": 12, "prototype": 55, "weight": 65, "final": 110}


def draw_groups(axes: Axes, report: Report) -> None:
    """Draw the accuracy of every shot group before and after, with intervals."""
    before, after = report.reference, report.method
    pairs = [(before, -0.19, colors.BEFORE), (after, 0.19, colors.AFTER)]
    for name, shift, color in pairs[report.method == report.reference :]:
        figures = report.result(name).figures
        shown = [figures[group] for group in (*_GROUPS, "all")]
        value, low, high = (
            100 * np.array([getattr(figure, part) for figure in shown], dtype=float)
            for part in ("value", "low", "high")
        )
        axes.bar(
            np.arange(4) + shift,
            value,
            0.36,
            color=color,
            label=_plain(name),
            # An interval of few replicates need not hold the value.
            yerr=np.maximum(np.nan_to_num([value - low, high - value]), 0),
            error_kw={"elinewidth": 0.9, "capsize": 2},
        )
    axes.set_xticks(range(4), [*(f"{name}-shot" for name in _GROUPS), "all classes"])
    axes.set_ylabel("accuracy in %")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2)


def draw_recall(axes: Axes, report: Report) -> None:
    """Draw every class's recall before and after, by training examples."""
    before, after = _percent(report.reference, report), _percent(report.method, report)
    n = len(before)
    width = min(4.0, max(0.4, 360 / n))
    for wanted, color in ((after < before, colors.LOSS), (after > before, colors.GAIN)):
        rows = np.flatnonzero(wanted)
        ends = np.stack([before[rows], after[rows]], axis=1)
        across = np.broadcast_to(rows[:, None], ends.shape)
        strokes = LineCollection(
            list(np.stack([across, ends], axis=2)),
            colors=color,
            linewidths=width,
            alpha=0.5 if n > _PATHS else 0.85,
            rasterized=n > _PATHS,
        )
        axes.add_collection(strokes)
    lines = {report.reference: colors.BEFORE, report.method: colors.AFTER}
    for name, color in lines.items():
        trend = [np.nan if v is None else 100 * v for v in report.result(name).trend]
        axes.plot(report.trend_ranks, trend, color=color, label=f"mean, {_plain(name)}")
    axes.set_xlim(-0.01 * n - 0.5, 1.01 * n)
    axes.set_ylim(-3, 103)
    groups = np.array(report.classes.groups)
    for name in _GROUPS:
        rows = np.flatnonzero(groups == name)
        if len(rows):
            axes.text(
                rows.mean(), 103, f"{name}-shot", ha="center", va="bottom", color="0.4"
            )
            if rows[0]:
                axes.axvline(rows[0] - 0.5, color="0.6", linestyle=":", linewidth=0.8)
    ticks = np.arange(0, n, max(1, -(-n // 8)))
    axes.set_xticks(ticks, [str(report.classes.counts[c]) for c in ticks])
    axes.set_xlabel("training examples of the class")
    axes.set_ylabel("recall in %")
    axes.legend(loc="lower left")


def draw_gains(axes: Axes, report: Report) -> None:
    """Draw how many classes of every group gained how much (AlphaNet figure 4a)."""
    bars = report.result(report.method).gain_bars
    edges = 100 * np.array(bars.edges)
    floor = np.zeros(len(edges) - 1)
    for name in _GROUPS:
        height = np.array(bars.counts[name])
        axes.bar(
            edges[:-1],
            height,
            np.diff(edges),
            floor,
            align="edge",
            color=colors.GROUPS[name],
            edgecolor="white",
            linewidth=0.4,
            label=f"{name}-shot ({bars.unchanged[name]} unchanged)",
        )
        floor += height
    axes.set_xlabel("gain in recall, points")
    axes.set_ylabel("classes")
    axes.legend()


def draw_distance(axes: Axes, report: Report) -> None:
    """Draw mean gains by distance to the nearest donor (AlphaNet figure 4b)."""
    bins = report.result(report.method).gain_at_distance
    axes.errorbar(
        [b.distance for b in bins],
        [100 * b.gain for b in bins],
        [200 * (b.error or 0) for b in bins],
        fmt="o",
        color=colors.AFTER,
        capsize=2,
    )
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xlabel("distance to the nearest donor")
    axes.set_ylabel("gain of few-shot classes, points")


def draw_confusion(axes: Axes, report: Report) -> None:
    """Draw what the classes of every group are taken for, after."""
    rates = report.result(report.method).confusion.rates
    table = np.array([[np.nan if r is None else 100 * r for r in row] for row in rates])
    axes.imshow(table, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        text = "–" if np.isnan(value) else f"{value:.1f}"  # noqa: RUF001
        color = "white" if value > 60 else "black"
        axes.text(column, row, text, ha="center", va="center", color=color)
    axes.set_xticks(range(4), ["right", *(f"wrong:\n{name}" for name in _GROUPS)])
    axes.set_yticks(range(3), [f"{name}-shot" for name in _GROUPS])
    axes.grid(visible=False)
    axes.set_xlabel("answer, in % of the class")


def draw_calibration(axes: Axes, report: Report) -> None:
    """Draw confidence against accuracy for every group, after."""
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=0.8)
    for name in _GROUPS:
        part = report.result(report.method).calibration[name]
        rows = [b for b, n in enumerate(part.n) if n]
        if rows:
            sizes = [8 + 60 * part.n[b] / max(part.n) for b in rows]
            x = np.array([part.confidence[b] for b in rows], dtype=float)
            y = np.array([part.accuracy[b] for b in rows], dtype=float)
            axes.plot(x, y, color=colors.GROUPS[name], linewidth=1)
            axes.scatter(x, y, sizes, colors.GROUPS[name], label=f"{name}-shot")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axes.legend(loc="upper left")


def draw_map(axes: Axes, report: Report, one: Map) -> None:
    """Draw a class between its donors (CKT supplement, figure 1)."""
    shades = [colors.GROUPS[name] for name in ("few", "many", "medium")]
    shades += [colors.OTHER] * len(one.donors)
    kinds, classes = np.array(one.kinds), np.array(one.classes)
    x, y = np.array(one.x), np.array(one.y)
    for color, c in zip(shades, [one.receiver, *one.donors], strict=False):
        for kind, symbol in _SYMBOLS.items():
            rows = (kinds == kind) & (classes == c)
            edge = "none" if kind == "sample" else "black"
            label = _plain(report.classes.names[c]) if kind == "sample" else None
            axes.scatter(
                x[rows],
                y[rows],
                _SIZES[kind],
                color,
                marker=symbol,
                edgecolors=edge,
                alpha=0.5 if kind == "sample" else 1,
                linewidths=0.7,
                label=label,
            )
    for kind, symbol in _SYMBOLS.items():
        if kind != "sample":
            axes.scatter([], [], 40, "0.6", marker=symbol, label=_WORDS[kind])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def draw_first_map(axes: Axes, report: Report) -> None:
    """Draw the first map of the method."""
    draw_map(axes, report, report.result(report.method).maps[0])


def _percent(name: str, report: Report) -> np.ndarray:
    recall = report.result(name).recall
    return np.array([np.nan if value is None else 100 * value for value in recall])


def _plain(name: str) -> str:
    """Return a name that matplotlib shows as it is.

    A dollar would begin a formula, and what begins with _ is left out of legends.
    """
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
