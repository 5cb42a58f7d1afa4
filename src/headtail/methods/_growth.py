"""Add examples and classes to a fitted estimator, all of them or none."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.labels import positions_of, same_kind
from headtail.methods._estimator import HeadClassifier, check_directions
from headtail.statistics import ClassStatistics
from headtail.tensors import shown

__all__ = ["grow", "merged_classes"]


def grow(
    estimator: HeadClassifier, X: Any, y: Any, classes: Any, *, directions: bool
) -> int:
    """Add examples to `estimator.statistics_` and return how many classes are new.

    New classes come after the known ones, sorted. Nothing changes if anything is
    refused. With `directions`, a class of nothing but zero rows is refused.
    """
    features, labels = estimator._open_labelled(X, y, reset=False)
    merged = merged_classes(estimator.classes_, labels, classes)
    n_new = len(merged) - len(estimator.classes_)
    old: ClassStatistics = estimator.statistics_
    total = old.copy(n_new)
    total.update(features, torch.from_numpy(positions_of(labels, merged)))
    if directions:
        check_directions(total.nonzero_counts, merged)
    names = _grown_names(estimator, merged)
    estimator.statistics_ = total
    estimator.classes_ = merged
    estimator.class_counts_ = total.class_counts.cpu().numpy().copy()
    if names is not None:
        estimator.class_names_ = names
    return n_new


def _grown_names(
    estimator: HeadClassifier, merged: npt.NDArray[Any]
) -> tuple[str, ...] | None:
    """Name new classes by their labels; refuse a name that is taken."""
    known: tuple[str, ...] | None = getattr(estimator, "class_names_", None)
    if known is None:
        return None
    new = tuple(str(label) for label in merged[len(known) :])
    taken = sorted(set(known) & set(new))
    if taken:
        raise ValueError(
            f"New classes must have new names; {shown(taken)} are taken. Give the new "
            "examples class names."
        )
    return (*known, *new)


def merged_classes(
    known: npt.NDArray[Any], y: Any, allowed: Any = None
) -> npt.NDArray[Any]:
    """Return the known classes and, after them, the new ones of y, sorted."""
    labels = np.unique(np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y))
    if allowed is not None:
        outside = labels[positions_of(labels, np.asarray(allowed)) < 0]
        if len(outside):
            raise ValueError(
                f"y must hold only labels from classes; got {shown(outside)} besides. "
                "Add them to classes, or leave classes out."
            )
    if not len(known):
        return labels
    if not same_kind(labels, known):
        raise ValueError(
            f"New labels must be of the kind of the known ones ({known.dtype}); got "
            f"{labels.dtype} ({shown(labels)})."
        )
    new = labels[positions_of(labels, known) < 0]
    if known.dtype.kind == "U":
        return np.concatenate([known, new.astype(str)])
    cast = new.astype(known.dtype)
    if (cast != new).any():
        raise ValueError(
            f"New labels must fit the type of the known ones ({known.dtype}); got "
            f"{shown(new[cast != new])}."
        )
    return np.concatenate([known, cast])
