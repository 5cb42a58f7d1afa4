"""Classes of a feature file and of a classifier, matched by name or by label value."""

from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.features import FeatureSet
from headtail.labels import positions_of
from headtail.tensors import shown

__all__ = ["class_names_of", "matched_labels", "name_classes"]


def name_classes(classifier: Any, data: FeatureSet) -> None:
    """Give a classifier fitted on `data` the names of its classes, if data has any."""
    if data.class_names is not None:
        classifier.class_names_ = tuple(
            data.class_names[label] for label in classifier.classes_
        )


def class_names_of(classifier: Any) -> tuple[str, ...]:
    """Return the names of a classifier's classes: its own, or its labels as text."""
    names = getattr(classifier, "class_names_", None)
    if names is None:
        return tuple(str(label) for label in classifier.classes_.tolist())
    return tuple(names)


def matched_labels(
    data: FeatureSet,
    classes: npt.NDArray[Any],
    names: tuple[str, ...] | None = None,
    *,
    new: bool = False,
) -> npt.NDArray[Any]:
    """Return the labels of `data` in the label space of `classes`.

    Classes match by name if both have names (labels that are text are names too), else
    by label value. Unknown classes are an error that names them, unless `new` is true:
    then they get labels of their own (their label value if matched by value, else the
    next free integers).
    """
    if names is None and classes.dtype.kind in "UO":
        names = tuple(classes.tolist())
    if names is None or data.class_names is None:
        return _by_value(classes, data, new)
    occurring, inverse = np.unique(data.targets, return_inverse=True)
    wanted = np.asarray([data.class_names[label] for label in occurring])
    positions = positions_of(wanted, np.asarray(names))
    unknown = positions < 0
    if unknown.any() and not new:
        raise ValueError(_unknown(wanted[unknown], len(names)))
    values = classes[positions]
    if unknown.any():
        values = values.astype(object)
        values[unknown] = _fresh(classes, wanted[unknown])
        values = np.asarray(values.tolist())
    labels: npt.NDArray[Any] = values[inverse.reshape(-1)]
    return labels


def _fresh(classes: npt.NDArray[Any], names: npt.NDArray[Any]) -> list[Any]:
    """Return labels for new classes: their names, or the next free integers."""
    if classes.dtype.kind in "UO":
        return list(names.tolist())
    first = int(classes.max()) + 1
    return list(range(first, first + len(names)))


def _by_value(
    classes: npt.NDArray[Any], data: FeatureSet, new: bool
) -> npt.NDArray[Any]:
    labels = data.targets
    unknown = positions_of(labels, classes) < 0
    if unknown.any() and not new:
        values = np.unique(labels[unknown])
        if data.class_names is not None:
            values = np.asarray([data.class_names[label] for label in values])
        raise ValueError(_unknown(values, len(classes)))
    return labels


def _unknown(names: npt.NDArray[Any], n_known: int) -> str:
    return (
        f"Every class must be known to the classifier; {shown(names)} are not (known: "
        f"{n_known} classes). Remove their examples, or add the classes first."
    )
