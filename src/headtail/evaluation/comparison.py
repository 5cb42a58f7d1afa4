"""Compare methods by their predictions on the same test set."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.evaluation.bootstrap import interval
from headtail.evaluation.evaluation import (
    GROUPS,
    Evaluation,
    Figure,
    evaluate_all,
    text_table,
)
from headtail.evaluation.metrics import FIGURES
from headtail.statistics import Convention

_GAP = ("difference", "difference_low", "difference_high")

__all__ = ["Comparison", "compare_predictions"]


@dataclass(frozen=True)
class Comparison:
    """Methods side by side, each against a reference with paired intervals.

    Attributes
    ----------
    evaluations
        By method, in the order in which they were given.
    reference
        The method that the others are compared with.
    predictions
        By method: probabilities [n_samples, n_classes].
    y_true
        Labels of the test examples.
    classes
        Label of every column of the predictions.
    provenance
        What was run: parameters, seed, versions, fingerprints of the data.
    explanations
        By method that composes classifiers: an `Explanation` of who gave to whom.
    """

    evaluations: dict[str, Evaluation]
    reference: str
    predictions: dict[str, npt.NDArray[Any]]
    y_true: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    provenance: dict[str, Any]
    explanations: dict[str, Any] = field(default_factory=dict)

    def difference(
        self, method: str, reference: str | None = None
    ) -> dict[str, Figure]:
        """Return every figure of `method` minus that of `reference`, paired.

        Both were evaluated on the same bootstrap replicates, so the interval is that
        of the difference.
        """
        mine = self.evaluations[method]
        other = self.evaluations[self.reference if reference is None else reference]
        ends = interval(mine.replicates - other.replicates)
        return {
            name: Figure(
                mine[name].value - other[name].value,
                float(low),
                float(high),
                mine[name].n,
                mine[name].n_classes,
            )
            for name, (low, high) in zip(FIGURES, ends, strict=True)
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything but the predictions as plain numbers."""
        return {
            "reference": self.reference,
            "methods": {
                name: {
                    **evaluation.as_json(),
                    "difference": {
                        figure: value.as_json("value")
                        for figure, value in self.difference(name).items()
                    },
                    "recall": [
                        None if math.isnan(r) else r for r in evaluation.recall.tolist()
                    ],
                }
                for name, evaluation in self.evaluations.items()
            },
            "class_counts": self._first().class_counts.tolist(),
            "class_sizes": self._first().class_sizes.tolist(),
            "provenance": self.provenance,
        }

    def to_json(self) -> str:
        """Return `as_json` as text; the same input gives the same bytes."""
        return json.dumps(self.as_json(), indent=1, sort_keys=True, allow_nan=False)

    def to_csv(self) -> str:
        """Return one line per method and figure; what is undefined stays empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            ["method", "figure", "value", "low", "high", "n_classes", "n", *_GAP]
        )
        for name, evaluation in self.evaluations.items():
            differences = self.difference(name)
            for figure in FIGURES:
                value, gap = evaluation[figure], differences[figure]
                numbers = [value.value, value.low, value.high]
                gaps = [gap.value, gap.low, gap.high]
                writer.writerow(
                    [name, figure, *map(_cell, numbers), value.n_classes, value.n]
                    + [_cell(number) for number in gaps]
                )
        return out.getvalue()

    def to_text(self) -> str:
        """Return a table in percent: groups, and the difference in "all"."""
        first = self._first()
        rows = [["method", *GROUPS, f"all - {self.reference}"]]
        rows.append(["classes", *(str(first[group].n_classes) for group in GROUPS), ""])
        for name, evaluation in self.evaluations.items():
            cells = [_cell_text(evaluation[group]) for group in GROUPS]
            gap = (
                ""
                if name == self.reference
                else _cell_text(self.difference(name)["all"], "+")
            )
            rows.append([name, *cells, gap])
        return text_table(rows)

    def _first(self) -> Evaluation:
        return next(iter(self.evaluations.values()))


def compare_predictions(
    predictions: Mapping[str, npt.NDArray[Any]],
    y_true: npt.NDArray[Any],
    class_counts: npt.ArrayLike,
    *,
    classes: npt.ArrayLike | None = None,
    reference: str | None = None,
    convention: Convention = "decoupling",
    n_replicates: int = 1000,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    explanations: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare methods by their probabilities on one test set.

    Parameters
    ----------
    predictions
        By method: probabilities [n_samples, n_classes], columns in the order of
        `classes`.
    y_true, class_counts, classes, convention, n_replicates, seed
        As in `evaluate`.
    reference
        The method that the others are compared with; None for the first.
    provenance, explanations
        Facts to keep with the result, see `Comparison`.
    """
    if not predictions:
        raise ValueError("predictions must hold at least one method; got none.")
    if reference is None:
        reference = next(iter(predictions))
    if reference not in predictions:
        raise ValueError(
            f"reference must be one of the methods {list(predictions)}; got "
            f"{reference!r}."
        )
    evaluations = evaluate_all(
        y_true,
        dict(predictions),
        class_counts,
        classes=classes,
        convention=convention,
        n_replicates=n_replicates,
        seed=seed,
    )
    return Comparison(
        evaluations,
        reference,
        dict(predictions),
        np.asarray(y_true),
        np.arange(len(np.asarray(class_counts)))
        if classes is None
        else np.asarray(classes),
        dict(provenance or {}),
        dict(explanations or {}),
    )


def _cell(number: float) -> str:
    return "" if math.isnan(number) else repr(number)


def _cell_text(figure: Figure, sign: str = "") -> str:
    return f"{figure.percent(sign)} {figure.percent_interval(sign)}".strip()
