"""Accuracy by shot group as one parameter of AlphaNet moves (figures 6a and 6b)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from headtail.evaluation import evaluate
from headtail.methods import shared_bases
from headtail.methods.transfer import AlphaNetClassifier

__all__ = ["Sweep", "sweep_gamma", "sweep_n_neighbors"]

_GAMMAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_GROUPS = ("many", "medium", "few", "all")


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a classifier reaches with every value of a parameter.

    Attributes
    ----------
    parameter
        Its name.
    values
        The values, as given.
    groups
        Names of the columns: "many", "medium", "few", "all".
    accuracy, top5_accuracy
        Mean recall of the classes of every group, [n_values, n_groups], NaN for a
        group without a class in the data; and of all classes among the five most
        probable, [n_values].
    base_accuracy, base_top5_accuracy
        Those of the base: [n_groups], and a number.
    """

    parameter: str
    values: tuple[Any, ...]
    groups: tuple[str, ...]
    accuracy: npt.NDArray[np.float64]
    base_accuracy: npt.NDArray[np.float64]
    top5_accuracy: npt.NDArray[np.float64]
    base_top5_accuracy: float


def sweep_gamma(
    estimator: AlphaNetClassifier,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    gammas: Sequence[float] = _GAMMAS,
    *,
    validation: tuple[Any, Any] | None = None,
) -> Sweep:
    """Measure AlphaNet with every bound of the own coefficient (figure 6a).

    Parameters
    ----------
    estimator
        Unfitted; cloned. Its random state must be an int: the base is fitted once.
    train, test, validation
        Pairs (X, y); `validation` is what the epochs are chosen on, see
        `AlphaNetClassifier.fit`.
    gammas
        The values, 0 to 1.

    References
    ----------
    Chang et al. "Alpha Net: Adaptation with Composition in Classifier Space."
    arXiv:2008.07073, figure 6a.
    """
    return _sweep(estimator, "gamma", gammas, train, test, validation)


def sweep_n_neighbors(
    estimator: AlphaNetClassifier,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    n_neighbors: Sequence[int] = (2, 5, 10),
    *,
    validation: tuple[Any, Any] | None = None,
) -> Sweep:
    """Measure AlphaNet with every number of neighbours (figure 6b).

    Parameters
    ----------
    estimator, train, test, validation
        As in `sweep_gamma`.
    n_neighbors
        The values.

    References
    ----------
    Chang et al. "Alpha Net: Adaptation with Composition in Classifier Space."
    arXiv:2008.07073, figure 6b.
    """
    return _sweep(estimator, "n_neighbors", n_neighbors, train, test, validation)


def _sweep(
    estimator: AlphaNetClassifier,
    parameter: str,
    values: Sequence[Any],
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
) -> Sweep:
    if not isinstance(estimator, AlphaNetClassifier):
        raise TypeError(
            f"estimator must be an AlphaNetClassifier; got {type(estimator).__name__}."
        )
    if not isinstance(estimator.random_state, int | np.integer):
        raise ValueError(
            "random_state must be an int, so that all values share one base; got "
            f"{estimator.random_state!r}."
        )
    if not len(values):
        raise ValueError(f"The sweep needs a value of {parameter} at least; got none.")
    rows = []
    with shared_bases():
        for value in values:
            fitted = clone(estimator).set_params(**{parameter: value})
            fitted.fit(*train, validation=validation)
            rows.append(_accuracies(fitted, *test))
    fitted.head_ = fitted.base_head_
    base = _accuracies(fitted, *test)
    table = np.array(rows)
    return Sweep(
        parameter=parameter,
        values=tuple(values),
        groups=_GROUPS,
        accuracy=table[:, :-1],
        base_accuracy=np.array(base[:-1]),
        top5_accuracy=table[:, -1],
        base_top5_accuracy=base[-1],
    )


def _accuracies(fitted: AlphaNetClassifier, X: Any, y: Any) -> list[float]:
    result = evaluate(
        y,
        fitted.predict_proba(X),
        fitted.class_counts_,
        classes=fitted.classes_,
        n_replicates=0,
    )
    return [result[name].value for name in (*_GROUPS, "top5_accuracy")]
