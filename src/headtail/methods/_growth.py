"""Add examples and classes to a fitted estimator, all of them or none."""

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.labels import positions_of, same_kind
from headtail.methods._estimator import HeadClassifier
from headtail.statistics import ClassStatistics
from headtail.tensors import shown

__all__ = ["check_donors", "grow", "merged_classes", "recomposed", "rows_at"]


def grow(estimator: Any, X: Any, y: Any, classes: Any) -> None:
    """Add examples to `estimator.statistics_`, new classes too, and build its head.

    New classes come after the known ones, sorted. The caller sees to it that nothing
    changes if anything is refused.
    """
    features, labels = estimator._open_labelled(X, y, reset=False)
    n_old = len(estimator.classes_)
    merged = merged_classes(estimator.classes_, labels, classes)
    total = estimator.statistics_.copy(len(merged) - n_old)
    total.update(features, torch.from_numpy(positions_of(labels, merged)))
    names = _grown_names(estimator, merged)
    origins = np.where(np.arange(len(merged)) < n_old, np.arange(len(merged)), -1)
    _take(estimator, total, merged, origins, names)


def recomposed(
    estimator: Any,
    statistics: ClassStatistics,
    classes: npt.NDArray[Any],
    origins: npt.NDArray[np.int64],
    class_names: tuple[str, ...] | None = None,
) -> Any:
    """Return a fitted copy of an estimator with other statistics and classes.

    Nothing is trained. The same arguments give the same copy, so that whoever keeps
    them can build it again; `partial_fit` builds its head in the same way.

    Parameters
    ----------
    estimator
        Fitted, of a method with `partial_fit`; it stays as it is.
    statistics
        Of all classes, at least one example each. Kept, not copied.
    classes
        Labels, [n_classes].
    origins
        Where each class stands in `estimator`, whose trained weight it keeps; -1 for
        one that is new.
    class_names
        Names of the classes, if they have any.

    Raises
    ------
    ValueError
        If fewer than two classes are left, or no donor is, or a class has no direction
        where the method needs one.

    Examples
    --------
    >>> from headtail import NearestClassMeanClassifier
    >>> ncm = NearestClassMeanClassifier().fit(np.eye(3), ["a", "b", "c"])
    >>> eye = torch.eye(2, 3, dtype=torch.float64)
    >>> count = torch.ones(2, dtype=torch.int64)
    >>> two = ClassStatistics.from_tensors(count, 0 * count, eye, eye)
    >>> recomposed(ncm, two, np.array(["a", "b"]), np.array([0, 1])).classes_
    array(['a', 'b'], dtype='<U1')
    """
    if len(classes) < 2:
        raise ValueError(
            f"At least 2 classes must be left; got {len(classes)}. Add a class first."
        )
    other = copy.copy(estimator)
    with other._fitting():
        _take(other, statistics, classes, origins, class_names)
    return other


def _take(
    estimator: Any,
    statistics: ClassStatistics,
    classes: npt.NDArray[Any],
    origins: npt.NDArray[np.int64],
    class_names: tuple[str, ...] | None,
) -> None:
    estimator.statistics_ = statistics
    estimator.classes_ = classes
    estimator.class_counts_ = statistics.class_counts.cpu().numpy().copy()
    vars(estimator).pop("class_names_", None)
    if class_names is not None:
        estimator.class_names_ = class_names
    estimator._recompose(origins)


def rows_at(rows: Tensor, origins: npt.NDArray[np.int64]) -> Tensor:
    """Return a copy of the rows at these positions, zeros for a position of -1.

    Examples
    --------
    >>> rows_at(torch.tensor([5, 6]), np.array([1, -1])).tolist()
    [6, 0]
    """
    positions = torch.from_numpy(origins).to(rows.device)
    kept = rows.detach()[positions.clamp(min=0)]
    kept[positions < 0] = 0
    return kept


def check_donors(n_donors: int, threshold: int) -> None:
    """Refuse to lose the last class that others borrow from."""
    if not n_donors:
        raise ValueError(
            f"A class trained on more than {threshold} examples must be left, for "
            "others borrow from it; there would be none. Keep one, or fit anew."
        )


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
