"""Evaluate probabilities on a test set: per class, per shot group, with intervals."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from headtail.evaluation.bootstrap import interval, resampled_weights
from headtail.evaluation.metrics import FIGURES, ExampleTable, figures_of, groups_of
from headtail.labels import positions_of
from headtail.statistics import Convention, ShotGroups, shot_groups
from headtail.tensors import shown

__all__ = ["Evaluation", "Figure", "evaluate", "evaluate_all", "text_table"]

GROUPS = FIGURES[:4]


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % bootstrap interval and what it rests on.

    Attributes
    ----------
    value, low, high
        The figure and the ends of its interval; NaN where undefined.
    n
        Test examples it rests on.
    n_classes
        Classes it rests on: those that occur in the test set.
    """

    value: float
    low: float
    high: float
    n: int
    n_classes: int

    def as_json(self, name: str) -> dict[str, Any]:
        """Return the figure under `name`, with null for what is undefined."""
        ends = [self.low, self.high]
        return {
            name: None if math.isnan(self.value) else self.value,
            "ci95": None if math.isnan(self.low) else ends,
            "n_classes": self.n_classes,
            "n": self.n,
        }

    def percent(self, sign: str = "") -> str:
        """Return the value in percent, a dash if it is undefined."""
        return "–" if math.isnan(self.value) else f"{100 * self.value:{sign}.1f}"  # noqa: RUF001

    def percent_interval(self, sign: str = "") -> str:
        """Return the interval in percent, nothing if there is none."""
        if math.isnan(self.low):
            return ""
        return f"[{100 * self.low:{sign}.1f}, {100 * self.high:{sign}.1f}]"


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes
    ----------
    figures
        By name: "all", "many", "medium" and "few" (means of class recalls),
        "micro_accuracy", "top5_accuracy" (mean over classes), "macro_f1",
        "worst_class_recall", "harmonic_mean_recall", "expected_calibration_error".
    recall
        Recall of every class, in the order of `class_counts`; NaN if it does not occur.
    class_counts
        Training examples per class.
    class_sizes
        Test examples per class.
    groups
        The shot groups over all classes, occurring or not.
    convention
        Whose inequalities drew the groups.
    replicates
        The figures of every bootstrap replicate, [n_replicates, 10].
    """

    figures: dict[str, Figure]
    recall: npt.NDArray[np.float64]
    class_counts: npt.NDArray[np.int64]
    class_sizes: npt.NDArray[np.int64]
    groups: ShotGroups
    convention: Convention
    replicates: npt.NDArray[np.float64]

    def __getitem__(self, name: str) -> Figure:
        return self.figures[name]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain numbers; accuracies are fractions."""
        groups = {name: self[name].as_json("accuracy") for name in GROUPS}
        rest = {name: self[name].as_json("value") for name in FIGURES[4:]}
        return {**groups, **rest, "convention": self.convention}

    def to_text(self) -> str:
        """Return a table of all figures in percent, with intervals and what n is."""
        rows = [["figure", "percent", "95 % interval", "classes", "n"]]
        for name, figure in self.figures.items():
            value, ends = figure.percent(), figure.percent_interval()
            label = name.replace("_", " ")
            rows.append([label, value, ends, str(figure.n_classes), str(figure.n)])
        return text_table(rows)


def evaluate(
    y_true: Any,
    proba: Any,
    class_counts: npt.ArrayLike,
    *,
    classes: npt.ArrayLike | None = None,
    convention: Convention = "decoupling",
    n_replicates: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Evaluate class probabilities on a test set.

    The accuracy of "all" and of each shot group is the mean of the recalls of those of
    its classes that occur in the test set: so an unbalanced test set does not let its
    frequent classes speak for all. Intervals are percentiles over bootstrap
    replicates that draw the test examples anew, class by class.

    Parameters
    ----------
    y_true
        Labels [n_samples].
    proba
        Probabilities [n_samples, n_classes]; rows sum to 1.
    class_counts
        Training examples per class [n_classes], in the order of the columns.
    classes
        Label of every column; None for 0 … n_classes-1.
    convention
        Whose shot groups, see `shot_groups`.
    n_replicates, seed
        Of the bootstrap; 0 replicates for no intervals.

    Returns
    -------
    evaluation
        What is undefined (a group without a class in the test set) is NaN.

    Examples
    --------
    >>> proba = [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]
    >>> result = evaluate([0, 1, 1], proba, class_counts=[500, 5])
    >>> result["all"].value, result["few"].value, result["medium"].n_classes
    (0.75, 0.5, 0)
    """
    return evaluate_all(
        y_true,
        {"": proba},
        class_counts,
        classes=classes,
        convention=convention,
        n_replicates=n_replicates,
        seed=seed,
    )[""]


def evaluate_all(
    y_true: Any,
    probas: dict[str, Any],
    class_counts: npt.ArrayLike,
    *,
    classes: npt.ArrayLike | None = None,
    convention: Convention = "decoupling",
    n_replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Evaluate several methods on the same replicates, so that they can be paired."""
    counts = np.asarray(class_counts)
    if n_replicates < 0:
        raise ValueError(f"n_replicates must be at least 0; got {n_replicates}.")
    groups = shot_groups(counts, convention)
    positions = _true_positions(y_true, classes, len(counts))
    tables = {
        name: ExampleTable.build(positions, _checked_proba(proba, positions, counts))
        for name, proba in probas.items()
    }
    sizes = np.bincount(positions, minlength=len(counts))
    members = groups_of(sizes, groups)
    replicates: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in tables}
    for weights in resampled_weights(positions, n_replicates, seed):
        for name, table in tables.items():
            sums = np.asarray(weights @ table.design)
            replicates[name].append(figures_of(sums, sizes, members))
    once = np.ones((1, len(positions)))
    results = {}
    for name, table in tables.items():
        sums = np.asarray(once @ table.design)
        recall = np.full(len(counts), np.nan)
        present = sizes > 0
        recall[present] = sums[0, : len(counts)][present] / sizes[present]
        every = np.concatenate([np.empty((0, len(FIGURES))), *replicates[name]])
        results[name] = Evaluation(
            figures=_figures(
                figures_of(sums, sizes, members)[0], every, sizes, members
            ),
            recall=recall,
            class_counts=counts.astype(np.int64),
            class_sizes=sizes,
            groups=groups,
            convention=convention,
            replicates=every,
        )
    return results


def text_table(rows: list[list[str]]) -> str:
    """Align cells: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [
                cell.rjust(width)
                for cell, width in zip(row[1:], widths[1:], strict=True)
            ]
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _figures(
    values: npt.NDArray[np.float64],
    replicates: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.int64],
    members: dict[str, npt.NDArray[np.bool_]],
) -> dict[str, Figure]:
    ends = interval(replicates)
    figures = {}
    for name, value, (low, high) in zip(FIGURES, values, ends, strict=True):
        mask = members.get(name, members["all"])
        n, n_classes = int(sizes[mask].sum()), int(mask.sum())
        figures[name] = Figure(float(value), float(low), float(high), n, n_classes)
    return figures


def _true_positions(y_true: Any, classes: Any, n_classes: int) -> npt.NDArray[np.int64]:
    labels = np.asarray(y_true.detach().cpu() if isinstance(y_true, Tensor) else y_true)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"y_true must hold one label per test example, at least one; got shape "
            f"{list(labels.shape)}."
        )
    known = np.arange(n_classes) if classes is None else np.asarray(classes)
    if known.shape != (n_classes,):
        raise ValueError(
            f"classes must name each of the {n_classes} classes in class_counts; got "
            f"shape {list(known.shape)}."
        )
    if len(np.unique(known)) < n_classes:
        raise ValueError("classes must be distinct; some come twice.")
    positions = positions_of(labels, known)
    if (positions < 0).any():
        unknown = np.unique(labels[positions < 0])
        raise ValueError(
            f"Every label in y_true must be a known class; {shown(unknown)} are not "
            f"(known: {n_classes} classes). Remove those examples, or pass classes."
        )
    return positions


def _checked_proba(
    proba: Any, positions: npt.NDArray[np.int64], counts: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    values = np.asarray(proba.detach().cpu() if isinstance(proba, Tensor) else proba)
    shape = (len(positions), len(counts))
    if values.shape != shape or values.dtype.kind != "f":
        raise ValueError(
            f"proba must be floating-point numbers of shape {list(shape)}, test "
            f"examples by classes; got {values.dtype} of shape {list(values.shape)}."
        )
    # NaN fails the comparison as well.
    wrong = ~(np.abs(values.sum(axis=1, dtype=np.float64) - 1) < 1e-3)
    wrong |= ~(values.min(axis=1) >= 0)
    if wrong.any():
        raise ValueError(
            f"Rows of proba must be at least 0 and sum to 1; {int(wrong.sum())} do not "
            f"(rows {shown(wrong.nonzero()[0])}). Pass predict_proba, or a softmax of "
            "the logits."
        )
    return values
