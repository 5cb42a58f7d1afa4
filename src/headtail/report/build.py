"""From a comparison to what a report says."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.analysis import (
    Explanation,
    Reliability,
    bin_by_distance,
    confused_pairs,
    gains_histogram,
    group_confusion,
    reliability,
)
from headtail.evaluation import Comparison, Evaluation, Figure
from headtail.labels import positions_of
from headtail.report.answer import about
from headtail.report.model import (
    Calibration,
    ClassTable,
    Confusion,
    Donors,
    GainAtDistance,
    GainBars,
    Group,
    Map,
    MethodResult,
    Number,
    Pair,
    Report,
)
from headtail.report.origin import facts_of, settings_of
from headtail.statistics import shot_group_rules

__all__ = ["build_report"]

_TREND_POINTS = 200


def build_report(
    comparison: Comparison, method: str | None = None, *, chosen_by: str = "asked for"
) -> Report:
    """Gather what a page or figures show of a comparison.

    Parameters
    ----------
    comparison
        Of at least one method.
    method
        The method that the answer is about; None for the first that is not the
        reference. It is never picked by its test figures.
    chosen_by
        Why this one, in a few words.
    """
    if method is None:
        others = [m for m in comparison.evaluations if m != comparison.reference]
        method = others[0] if others else comparison.reference
        chosen_by = "the first of the methods compared"
    first = next(iter(comparison.evaluations.values()))
    order = np.argsort(-first.class_counts, kind="stable")
    table = _class_table(comparison, first, order)
    ranks = _trend_ranks(len(order))
    report = Report(
        method=method,
        chosen_by=chosen_by,
        reference=comparison.reference,
        answer="",
        classes=table,
        groups=_groups(first),
        methods=tuple(
            _result(comparison, name, order, ranks) for name in comparison.evaluations
        ),
        trend_ranks=tuple(ranks.tolist()),
        rivals=_rivals(comparison),
        shared_examples=comparison.provenance.get("shared_examples"),
        findings=(),
        facts=facts_of(comparison),
    )
    return about(report, method, chosen_by)


def _class_table(
    comparison: Comparison, first: Evaluation, order: npt.NDArray[np.int64]
) -> ClassTable:
    names = comparison.provenance.get("class_names")
    listed = comparison.classes.tolist() if names is None else names
    group_of = np.empty(len(order), dtype=object)
    for name, mask in first.groups.items():
        group_of[mask] = name
    return ClassTable(
        names=tuple(str(listed[c]) for c in order),
        counts=tuple(first.class_counts[order].tolist()),
        sizes=tuple(first.class_sizes[order].tolist()),
        groups=tuple(group_of[order].tolist()),
    )


def _groups(first: Evaluation) -> tuple[Group, ...]:
    rules = shot_group_rules(first.convention)
    return tuple(
        Group(name, rules[name], int(mask.sum()), first[name].n_classes, first[name].n)
        for name, mask in first.groups.items()
    )


def _result(
    comparison: Comparison,
    name: str,
    order: npt.NDArray[np.int64],
    ranks: npt.NDArray[np.int64],
) -> MethodResult:
    evaluation = comparison.evaluations[name]
    proba = comparison.predictions[name]
    positions = positions_of(comparison.y_true, comparison.classes)
    recall = evaluation.recall[order]
    calibration = reliability(positions, proba, evaluation.groups)
    gains = evaluation.recall - comparison.evaluations[comparison.reference].recall
    # From positions in `classes_` to positions in the table of classes.
    rank_of = np.argsort(order)
    explanation = comparison.explanations.get(name)
    return MethodResult(
        name=name,
        figures={key: _number(value) for key, value in evaluation.figures.items()},
        gains={k: _number(v) for k, v in comparison.difference(name).items()},
        recall=_optional(recall, 6),
        trend=_optional(_trend(recall, ranks), 6),
        calibration=_calibration(calibration),
        confusion=_confusion(positions, proba.argmax(axis=1), evaluation, rank_of),
        gain_bars=_gain_bars(gains, evaluation),
        donors=None if explanation is None else _donors(explanation, rank_of),
        gain_at_distance=()
        if explanation is None
        else _gain_at_distance(explanation, gains, evaluation),
        maps=() if explanation is None else _maps(explanation, comparison, rank_of),
        settings=settings_of(comparison.provenance, name),
    )


def _confusion(
    positions: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    evaluation: Evaluation,
    rank_of: npt.NDArray[np.int64],
) -> Confusion:
    confusion = group_confusion(positions, predicted, evaluation.groups)
    pairs = confused_pairs(positions, predicted, len(rank_of))
    columns = (
        rank_of[pairs.true].tolist(),
        rank_of[pairs.predicted].tolist(),
        pairs.rate.tolist(),
        pairs.n.tolist(),
        evaluation.class_sizes[pairs.true].tolist(),
    )
    return Confusion(
        rates=tuple(_optional(row) for row in confusion.rates),
        pairs=tuple(Pair(*row) for row in zip(*columns, strict=True)),
        tail_to_head=_finite(confusion.tail_to_head),
        tail_to_head_error=_finite(confusion.tail_to_head_error),
    )


def _calibration(found: Reliability) -> dict[str, Calibration]:
    return {
        name: Calibration(
            confidence=_optional(found.confidence[row], 6),
            accuracy=_optional(found.accuracy[row], 6),
            n=tuple(found.n[row].tolist()),
            gap=_finite(found.gap[row]),
            gap_error=_finite(found.gap_error[row]),
        )
        for row, name in enumerate(found.groups)
    }


def _gain_bars(gains: npt.NDArray[np.float64], evaluation: Evaluation) -> GainBars:
    bars = gains_histogram(
        gains, evaluation.class_counts, convention=evaluation.convention
    )
    rows = zip(bars.groups, bars.n_classes.tolist(), strict=True)
    return GainBars(
        edges=tuple(bars.edges.round(6).tolist()),
        counts={name: tuple(row) for name, row in rows},
        unchanged=dict(zip(bars.groups, bars.n_unchanged.tolist(), strict=True)),
    )


def _gain_at_distance(
    explanation: Explanation, gains: npt.NDArray[np.float64], evaluation: Evaluation
) -> tuple[GainAtDistance, ...]:
    given = explanation.donations
    few = evaluation.groups.few[given.receivers]
    bins = bin_by_distance(given.distances[few], gains[given.receivers][few])
    columns = (
        bins.distance.tolist(),
        bins.gain.tolist(),
        _optional(bins.error),
        bins.n.tolist(),
    )
    return tuple(GainAtDistance(*row) for row in zip(*columns, strict=True))


def _donors(explanation: Explanation, rank_of: npt.NDArray[np.int64]) -> Donors:
    given = explanation.donations
    order = np.argsort(rank_of[given.receivers])
    return Donors(
        receivers=tuple(rank_of[given.receivers][order].tolist()),
        donors=tuple(tuple(row) for row in rank_of[given.donors][order].tolist()),
        shares=tuple(tuple(row) for row in given.shares[order].round(6).tolist()),
        distances=_optional(given.distances[order], 6),
    )


def _maps(
    explanation: Explanation, comparison: Comparison, rank_of: npt.NDArray[np.int64]
) -> tuple[Map, ...]:
    def ranks(labels: Any) -> tuple[int, ...]:
        positions = positions_of(np.asarray(labels), comparison.classes)
        return tuple(rank_of[positions].tolist())

    return tuple(
        Map(
            receiver=ranks([one.label])[0],
            donors=ranks(one.donors),
            kinds=tuple(one.kinds.tolist()),
            classes=ranks(one.labels),
            x=tuple(one.coordinates[:, 0].round(4).tolist()),
            y=tuple(one.coordinates[:, 1].round(4).tolist()),
        )
        for one in explanation.maps
    )


def _trend_ranks(n_classes: int) -> npt.NDArray[np.int64]:
    points = np.linspace(0, n_classes - 1, min(n_classes, _TREND_POINTS))
    return points.round().astype(np.int64)


def _trend(
    recall: npt.NDArray[np.float64], ranks: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return means over a tenth of the classes, five at least, around every rank."""
    half = max(2, len(recall) // 20)
    sums, known = (
        np.concatenate([[0.0], np.cumsum(values)])
        for values in (np.nan_to_num(recall), ~np.isnan(recall))
    )
    low = np.maximum(ranks - half, 0)
    high = np.minimum(ranks + half + 1, len(recall))
    n = known[high] - known[low]
    return np.asarray((sums[high] - sums[low]) / np.where(n > 0, n, np.nan))


def _rivals(comparison: Comparison) -> tuple[str, ...]:
    values = {name: e["all"].value for name, e in comparison.evaluations.items()}
    best = max(values, key=lambda name: values[name])
    rivals = [best]
    for name in values:
        gap = comparison.difference(name, best)["all"]
        if name != best and not gap.high < 0:
            rivals.append(name)
    return tuple(rivals)


def _number(figure: Figure) -> Number:
    low, high = _finite(figure.low), _finite(figure.high)
    if figure.n <= figure.n_classes:
        # One example per class: drawn anew within a class, it is always the same.
        low = high = None
    return Number(_finite(figure.value), low, high, figure.n, figure.n_classes)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _optional(
    values: npt.NDArray[np.float64], digits: int = 6
) -> tuple[float | None, ...]:
    return tuple(_finite(value) for value in values.round(digits).tolist())
