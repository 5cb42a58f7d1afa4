"""From feature files to fitted, extended and compared methods."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import clone

from headtail.evaluation import Comparison, compare_predictions, fingerprint
from headtail.features import FeatureSet
from headtail.files import written_whole
from headtail.matching import matched_labels, name_classes
from headtail.predictions import Predictions
from headtail.registry import METHODS, get_method, recommended_method
from headtail.statistics import Convention
from headtail.version import __version__

__all__ = ["add_examples", "compare", "fit_method", "save_comparison"]


def fit_method(
    data: FeatureSet,
    method: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    random_state: int | None = 0,
) -> Any:
    """Fit a method of the registry on labelled features; keep the class names.

    Parameters
    ----------
    data
        Features with labels.
    method
        Name in the registry; None for the recommended one.
    parameters
        Of the estimator; unknown ones are refused by it.
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
    row = recommended_method() if method is None else get_method(method)
    estimator = row.estimator()
    known = estimator.get_params(deep=False)
    given = dict(parameters or {})
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"Method {row.name!r} has no parameter {unknown}; it has {sorted(known)}."
        )
    if "random_state" in known:
        given.setdefault("random_state", random_state)
    classifier = estimator.set_params(**given).fit(data.features, data.targets)
    name_classes(classifier, data)
    return classifier


def add_examples(classifier: Any, data: FeatureSet) -> list[str]:
    """Add examples, of known and of new classes, to a fitted classifier in place.

    No training; see `partial_fit` of the classifier. Returns the names of new classes.
    """
    if not hasattr(classifier, "partial_fit"):
        able = [m.name for m in METHODS if hasattr(m.estimator(), "partial_fit")]
        raise ValueError(
            f"{type(classifier).__name__} cannot take examples without training; "
            f"methods that can are {able}. Fit one of them."
        )
    n_known = len(classifier.classes_)
    labels = matched_labels(classifier, data, new=True)
    classifier.partial_fit(data.features, labels)
    new = classifier.classes_[n_known:].tolist()
    if data.class_names is None:
        return [str(label) for label in new]
    name_of = dict(zip(labels.tolist(), data.targets.tolist(), strict=True))
    names = [data.class_names[name_of[label]] for label in new]
    if new and hasattr(classifier, "class_names_"):
        classifier.class_names_ = (*classifier.class_names_[:n_known], *names)
    return names


def compare(
    methods: Iterable[str] | Mapping[str, Any],
    train: Any,
    test: Any,
    *,
    reference: str | None = None,
    convention: Convention = "decoupling",
    n_replicates: int = 1000,
    random_state: int = 0,
) -> Comparison:
    """Fit methods on `train` and compare them on `test`.

    Parameters
    ----------
    methods
        Names in the registry, or a mapping from names of your own to unfitted
        estimators, which are cloned.
    train, test
        A `FeatureSet` each, or a pair (features, labels). Classes match by name if both
        have names, else by label value. The test set chooses nothing.
    reference
        The method that the others are compared with; None for the first.
    convention, n_replicates
        As in `evaluate`.
    random_state
        Of the bootstrap, and of every estimator that has one and none of its own.

    Examples
    --------
    >>> train = ([[1.0, 0.1], [0.9, 0.0], [0.0, 1.0]], [0, 0, 1])
    >>> result = compare(["ncm"], train, ([[1.0, 0.0], [0.1, 1.0]], [0, 1]))
    >>> result.evaluations["ncm"]["all"].value
    1.0
    """
    train, test = _feature_set(train), _feature_set(test)
    if isinstance(methods, str):
        raise TypeError(
            "methods must be names or a mapping; got one name. Put it in []."
        )
    if not isinstance(methods, Mapping):
        methods = {name: get_method(name).estimator() for name in methods}
    if not methods:
        raise ValueError("methods must hold at least one method; got none.")
    predictions, parameters = {}, {}
    for name, estimator in methods.items():
        classifier = clone(estimator)
        if classifier.get_params().get("random_state", 0) is None:
            classifier.set_params(random_state=random_state)
        classifier.fit(train.features, train.targets)
        name_classes(classifier, train)
        predictions[name] = classifier.predict_proba(test.features)
        parameters[name] = _parameters(classifier)
    counts = np.unique(train.targets, return_counts=True)[1]
    return compare_predictions(
        predictions,
        matched_labels(classifier, test),
        counts,
        classes=classifier.classes_,
        reference=reference,
        convention=convention,
        n_replicates=n_replicates,
        seed=random_state,
        provenance={
            "methods": parameters,
            "random_state": random_state,
            "train": _facts(train),
            "test": _facts(test),
            "classes": classifier.classes_.tolist(),
            "class_names": getattr(classifier, "class_names_", None),
            "versions": {
                "headtail": __version__,
                "torch": torch.__version__.split("+")[0],
                "scikit-learn": sklearn.__version__,
            },
        },
    )


def save_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Write a new folder with the table, JSON, CSV and every method's predictions."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} holds something already; choose a new folder.")
    classes = np.asarray(comparison.provenance["classes"])
    with written_whole(path) as folder:
        (folder / "predictions").mkdir(parents=True)
        (folder / "comparison.json").write_text(comparison.to_json(), "utf-8")
        (folder / "comparison.csv").write_text(comparison.to_csv(), "utf-8")
        (folder / "comparison.txt").write_text(comparison.to_text() + "\n", "utf-8")
        for name, proba in comparison.predictions.items():
            predictions = Predictions.from_proba(proba, classes, comparison.y_true)
            predictions.save(folder / "predictions" / f"{name}.npz")


def _feature_set(data: Any) -> FeatureSet:
    if isinstance(data, FeatureSet):
        return data
    features, labels = data
    return FeatureSet(features, labels)


def _parameters(classifier: Any) -> dict[str, Any]:
    """Return parameters as JSON; what is neither number nor text, as its repr."""
    parameters = classifier.get_params(deep=False)
    return {name: _plain(value) for name, value in parameters.items()}


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return repr(value)


def _facts(data: FeatureSet) -> dict[str, Any]:
    return {
        "n_samples": len(data),
        "n_features": data.features.shape[1],
        "fingerprint": fingerprint(data.features, data.targets),
    }
