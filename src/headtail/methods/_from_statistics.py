"""The door for statistics in the place of features: what `fit_statistics` checks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.statistics import ClassStatistics
from headtail.tensors import shown

__all__ = ["open_statistics"]


def open_statistics(
    estimator: Any, statistics: Any, classes: npt.ArrayLike | None
) -> ClassStatistics:
    """Check statistics of a data set, set what every fit sets, and return a copy.

    Parameters
    ----------
    estimator
        Its `classes_`, `class_counts_` and `n_features_in_` are set.
    statistics
        Of at least two classes, each with an example.
    classes
        Distinct labels, one per class; None for 0 … n_classes-1.
    """
    estimator._validate_params()
    if not isinstance(statistics, ClassStatistics):
        raise TypeError(
            f"statistics must be ClassStatistics; got {type(statistics).__name__}. "
            "For features there is fit."
        )
    n_classes = statistics.n_classes
    labels = np.arange(n_classes) if classes is None else np.asarray(classes)
    if labels.shape != (n_classes,) or len(np.unique(labels)) != n_classes:
        raise ValueError(
            f"classes must be {n_classes} distinct labels, one for each class of the "
            f"statistics; got shape {list(labels.shape)}."
        )
    counts = statistics.class_counts.cpu().numpy().copy()
    if n_classes < 2 or (counts < 1).any():
        empty = shown(labels[counts < 1].tolist())
        raise ValueError(
            "Statistics must hold at least 2 classes, and an example of each; got "
            f"{n_classes} classes, without example {empty}. Leave those out."
        )
    sums = statistics.sums, statistics.unit_sums
    if not all(bool(part.isfinite().all()) for part in sums):
        raise ValueError(
            "statistics must be finite; they hold NaN or inf. Add them up again."
        )
    vars(estimator).pop("class_names_", None)
    vars(estimator).pop("feature_names_in_", None)
    estimator.classes_, estimator.class_counts_ = labels, counts
    estimator.n_features_in_ = statistics.n_features
    return statistics.copy()
