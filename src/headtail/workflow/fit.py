"""Fit a method on a feature set, and add examples to what was fitted."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from headtail.features import FeatureSet
from headtail.matching import matched_labels, name_classes
from headtail.registry import METHODS, Method, get_method, recommended_method
from headtail.statistics import StoredStatistics

__all__ = ["add_examples", "fit_method", "fit_on_statistics"]


def fit_method(
    data: FeatureSet,
    method: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    validation: FeatureSet | None = None,
    random_state: int | None = 0,
) -> Any:
    """Fit a method of the registry on labelled features; keep the class names.

    Parameters
    ----------
    data
        Features with labels.
    method
        Name in the registry; None for the recommended one, of those that build on a
        base where `parameters` name one.
    parameters
        Of the estimator; unknown ones are refused by it.
    validation
        What a parameter set to ``"auto"`` is chosen on; None for a part of `data`.
    random_state
        For an estimator that has one and none is in `parameters`.

    Returns
    -------
    classifier
        The fitted estimator; `class_names_` if the data have names.

    Examples
    --------
    >>> data = FeatureSet([[1.0, 0.1], [0.9, 0.0], [0.0, 1.0]], ["cat", "cat", "lynx"])
    >>> fit_method(data, "ncm").class_names_
    ('cat', 'lynx')
    """
    recommended = recommended_method(on_base="base" in (parameters or {}))
    row = recommended if method is None else get_method(method)
    estimator = _built(row, parameters, random_state)
    extra = {} if validation is None else _validation(estimator, row, data, validation)
    classifier = estimator.fit(data.features, data.targets, **extra)
    name_classes(classifier, data)
    return classifier


def fit_on_statistics(
    stored: StoredStatistics,
    method: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Any:
    """Fit a training-free method on statistics in the place of examples.

    Classes without example are left out, as they are where a method sees examples.

    Parameters
    ----------
    stored
        Statistics and maybe class names, see `load_statistics`.
    method
        Name in the registry; None for compositional transfer where `parameters` name a
        trained base, else ncm.
    parameters
        Of the estimator.

    Returns
    -------
    classifier
        The fitted estimator; `class_names_` if the statistics have names.

    Examples
    --------
    >>> from headtail.statistics import ClassStatistics
    >>> statistics = ClassStatistics(2, 2).update([[1.0, 0.1], [0.0, 1.0]], [0, 1])
    >>> stored = StoredStatistics(statistics, ("cat", "lynx"))
    >>> fit_on_statistics(stored).class_names_
    ('cat', 'lynx')
    """
    default = "compositional" if "base" in (parameters or {}) else "ncm"
    row = get_method(default if method is None else method)
    estimator = _built(row, parameters, None)
    if not hasattr(estimator, "fit_statistics"):
        able = [m.name for m in METHODS if hasattr(m.build(), "fit_statistics")]
        raise ValueError(
            f"Method {row.name!r} needs the examples themselves; methods that can be "
            f"fitted on statistics are {able}. Give features, or one of them."
        )
    present = stored.statistics.class_counts.nonzero().flatten()
    labels = present.cpu().numpy()
    classifier = estimator.fit_statistics(stored.statistics.select(present), labels)
    if stored.class_names is not None:
        classifier.class_names_ = tuple(stored.class_names[label] for label in labels)
    return classifier


def _built(
    row: Method, parameters: Mapping[str, Any] | None, random_state: int | None
) -> Any:
    """Return the estimator of a row with these parameters, which it must have."""
    given = dict(parameters or {})
    estimator = row.build()
    known = estimator.get_params(deep=False)
    unknown = sorted(set(given) - set(known))
    if unknown:
        hint = ""
        if "base" in unknown:
            able = [
                m.name for m in METHODS if "base" in m.build().get_params(deep=False)
            ]
            hint = f" Methods that build on a base are {able}."
        raise ValueError(
            f"Method {row.name!r} has no parameter {unknown}; it has {sorted(known)}."
            f"{hint}"
        )
    if "random_state" in known:
        given.setdefault("random_state", random_state)
    return estimator.set_params(**given)


def _validation(
    estimator: Any, row: Method, data: FeatureSet, validation: FeatureSet
) -> dict[str, Any]:
    """Return the argument for `fit`; the labels are those of `data`."""
    if "validation" not in inspect.signature(estimator.fit).parameters:
        able = [
            m.name
            for m in METHODS
            if "validation" in inspect.signature(m.estimator.fit).parameters
        ]
        raise ValueError(
            f"Method {row.name!r} chooses nothing on validation data; methods that do "
            f"are {able}. Leave the validation data out."
        )
    classes = np.unique(data.targets)
    names = None
    if data.class_names is not None:
        names = tuple(data.class_names[label] for label in classes)
    labels = matched_labels(validation, classes, names)
    return {"validation": (validation.features, labels)}


def add_examples(classifier: Any, data: FeatureSet) -> list[str]:
    """Add examples, of known and of new classes, to a fitted classifier in place.

    No training; see `partial_fit` of the classifier. Returns the names of new classes.
    """
    if not hasattr(classifier, "partial_fit"):
        able = [m.name for m in METHODS if hasattr(m.build(), "partial_fit")]
        raise ValueError(
            f"{type(classifier).__name__} cannot take examples without training; "
            f"methods that can are {able}. Fit one of them."
        )
    n_known = len(classifier.classes_)
    names = getattr(classifier, "class_names_", None)
    labels = matched_labels(data, classifier.classes_, names, new=True)
    if data.class_names is not None:
        # New classes get the names of the data, not those that partial_fit would give.
        vars(classifier).pop("class_names_", None)
    try:
        classifier.partial_fit(data.features, labels)
    except BaseException:
        if names is not None:
            classifier.class_names_ = names
        raise
    new = classifier.classes_[n_known:].tolist()
    if data.class_names is None:
        return [str(label) for label in new]
    name_of = dict(zip(labels.tolist(), data.targets.tolist(), strict=True))
    added = [data.class_names[name_of[label]] for label in new]
    if names is not None:
        classifier.class_names_ = (*names, *added)
    return added
