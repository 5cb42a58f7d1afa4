"""Fit candidates to a simulated tail, as few times as possible, and predict."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import clone
from torch import Tensor, nn

from headtail.heads import Head, LinearHead
from headtail.labels import positions_of
from headtail.methods._base_head import one_row_per_label, trained_heads
from headtail.methods._estimator import HeadClassifier
from headtail.methods._selection import mean_recalls
from headtail.methods._simulated_tails import SimulatedTail

__all__ = ["candidate_recalls", "keeps_leaked_rows"]

Candidate = dict[str, Any]


def candidate_recalls(
    estimator: Any,
    candidates: list[Candidate],
    features: Tensor,
    positions: Tensor,
    classes: npt.NDArray[Any],
    tail: SimulatedTail,
) -> Tensor:
    """Return every candidate's recall of every class, NaN where not scored."""
    kept, held = (mask.to(features.device) for mask in (tail.kept, tail.held_back))
    data = (features[kept], classes[positions[tail.kept].numpy()])
    held_features = features[held]
    predicted = torch.empty(len(candidates), len(held_features), dtype=torch.int64)
    for rows, fixed, free in _groups(candidates, estimator):
        trial = clone(estimator).set_params(**fixed, **free[0])
        try:
            _fit_to_tail(trial, tail, classes, data)
            found = _predict(trial, held_features, free)
        except ValueError as error:
            raise ValueError(
                f"{error} This is about a simulated tail, where cut classes keep a few "
                "examples and the other head classes all but those held back."
            ) from error
        where = torch.from_numpy(positions_of(trial.classes_, classes))
        predicted[rows] = where[found]
    return mean_recalls(predicted, positions[tail.held_back], len(classes))


def keeps_leaked_rows(estimator: Any) -> bool:
    """Tell whether a trained head in the estimator keeps the rows of cut classes."""
    return any(not _drops_cut(estimator, name) for name in trained_heads(estimator))


def _drops_cut(estimator: Any, name: str) -> bool:
    takes = getattr(estimator, "_takes_untrained_classes", False)
    return name == "base" and bool(takes)


def _groups(
    candidates: list[Candidate], estimator: Any
) -> list[tuple[list[int], Candidate, list[Candidate]]]:
    """Group candidates that can share a fit: their rows, the fixed, the free part."""
    adjustable: frozenset[str] = getattr(estimator, "_adjustable", frozenset())
    groups: dict[Any, tuple[list[int], Candidate, list[Candidate]]] = {}
    for row, candidate in enumerate(candidates):
        free: Candidate = {}
        fixed: Candidate = {}
        for name, value in candidate.items():
            auto = isinstance(value, str) and value == "auto"
            (free if name in adjustable and not auto else fixed)[name] = value
        # A parameter grid repeats the object, which may be an array or a head.
        key = tuple(free), *((name, id(fixed[name])) for name in sorted(fixed))
        rows, _, frees = groups.setdefault(key, ([], fixed, []))
        rows.append(row)
        frees.append(free)
    return list(groups.values())


def _fit_to_tail(
    trial: Any,
    tail: SimulatedTail,
    classes: npt.NDArray[Any],
    data: tuple[Tensor, npt.NDArray[Any]],
) -> None:
    """Fit a trial; a trained head loses the rows of classes that are left out."""
    for name, head in trained_heads(trial).items():
        kept = tail.class_counts > 0
        if _drops_cut(trial, name):
            kept = kept & ~tail.cut
        trial.set_params(**{name: _with_rows(head, classes, kept.numpy())})
    trial.set_params(**dict.fromkeys(getattr(trial, "_per_class", ())))
    if isinstance(trial, HeadClassifier):
        trial.fit(*data)
    else:
        trial.fit(data[0].cpu().numpy(), data[1])


def _with_rows(
    base: Any, classes: npt.NDArray[Any], kept: npt.NDArray[np.bool_]
) -> Head:
    """Return the trained head with the rows of the classes that are kept."""
    head = LinearHead(base.weight, base.bias) if isinstance(base, nn.Linear) else base
    if head.classes is None and head.n_classes != len(classes):
        raise ValueError(one_row_per_label(head.n_classes, len(classes)))
    labels = classes if head.classes is None else head.classes
    rows = np.isin(labels, classes[kept]).nonzero()[0]
    return head.select(torch.from_numpy(rows), labels[rows])


def _predict(
    trial: Any, features: Tensor, candidates: Sequence[Mapping[str, Any]]
) -> Tensor:
    """Return positions in the trial's classes, [n_candidates, n_samples]."""
    if isinstance(trial, HeadClassifier):
        return trial._predict_candidates(features, candidates)
    labels = np.asarray(trial.predict(features.cpu().numpy()))
    return torch.from_numpy(positions_of(labels, np.asarray(trial.classes_)))[None]
