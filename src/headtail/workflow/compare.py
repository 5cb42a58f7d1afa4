"""Fit several methods on the same data, and compare and keep their predictions."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import clone

from headtail.analysis import explain
from headtail.evaluation import Comparison, compare_predictions
from headtail.features import FeatureSet, shared_rows
from headtail.files import check_new_folder, written_whole
from headtail.heads import Head
from headtail.labels import positions_of
from headtail.matching import matched_labels
from headtail.methods import shared_bases
from headtail.methods.decoupled import LogitAdjustedClassifier
from headtail.predictions import Predictions
from headtail.registry import METHODS, get_method
from headtail.report import REPORT_FILE, Report, build_report, save_report
from headtail.statistics import Convention
from headtail.tensors import fingerprint
from headtail.version import __version__

__all__ = [
    "TRAINED",
    "compare",
    "methods_on",
    "report_of",
    "save_comparison",
]

# What a comparison calls the head that the methods build on.
TRAINED = "trained head"

# They choose on a part of the training data, which no given head may have seen.
_HOLD_BACK = ("tau-norm", "alphanet", "alphanet-shared")


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

    Methods that build on equal bases (class, parameters and seed) share one fit.

    Parameters
    ----------
    methods
        Names in the registry, or a mapping from names of your own to unfitted
        estimators, which are cloned.
    train, test
        A `FeatureSet` each, its path, or a pair (features, labels). Classes match by
        name if both have names, else by label value. The test set chooses nothing.
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
        methods = list(methods)
        if len(set(methods)) < len(methods):
            raise ValueError(f"methods must be distinct; got {methods}.")
        methods = {name: get_method(name).build() for name in methods}
    if not methods:
        raise ValueError("methods must hold at least one method; got none.")
    if reference is not None and reference not in methods:
        raise ValueError(
            f"reference must be one of the methods {list(methods)}; got {reference!r}."
        )
    for name, estimator in methods.items():
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"Method {name!r} must have predict_proba; {estimator!r} has none."
            )
    classes, counts = np.unique(train.targets, return_counts=True)
    names = None
    if train.class_names is not None:
        names = tuple(train.class_names[label] for label in classes)
    y_true = matched_labels(test, classes, names)
    predictions, parameters, selections, explanations = {}, {}, {}, {}
    with shared_bases():
        for name, estimator in methods.items():
            classifier = clone(estimator)
            if classifier.get_params().get("random_state", 0) is None:
                classifier.set_params(random_state=random_state)
            classifier.fit(train.features, train.targets)
            predictions[name] = classifier.predict_proba(test.features)
            parameters[name] = _parameters(classifier)
            explained = explain(
                classifier, test.features, y_true, convention=convention
            )
            if explained is not None:
                explanations[name] = explained
            selection = getattr(classifier, "selection_", None)
            if selection is not None:
                selections[name] = {k: _plain(v) for k, v in selection.facts().items()}
    return compare_predictions(
        predictions,
        y_true,
        counts,
        classes=classes,
        reference=reference,
        convention=convention,
        n_replicates=n_replicates,
        seed=random_state,
        explanations=explanations,
        provenance={
            "methods": parameters,
            "selections": selections,
            "random_state": random_state,
            "train": _facts(train),
            "test": _facts(test),
            "shared_examples": shared_rows(train.features, test.features),
            "n_replicates": n_replicates,
            "classes": classes.tolist(),
            "class_names": names,
            "versions": {
                "headtail": __version__,
                "torch": torch.__version__.split("+")[0],
                "scikit-learn": sklearn.__version__,
            },
        },
    )


def methods_on(head: Head, methods: Iterable[str] | None = None) -> dict[str, Any]:
    """Return a trained head and methods that build on it, for `compare`.

    The head itself comes first, as ``"trained head"``. Methods without a base are
    trained on the features alone. So is the base of those that choose something on
    training examples held back, τ-normalisation and AlphaNet: the head has seen these.

    Parameters
    ----------
    head
        Trained on the features that the methods will be fitted on.
    methods
        Names in the registry; None for all.

    Examples
    --------
    >>> from headtail.heads import CosineHead
    >>> head = CosineHead(torch.eye(2))
    >>> list(methods_on(head, ["ncm", "lws"]))
    ['trained head', 'ncm', 'lws']
    """
    # tau = 0 leaves the logits as they are.
    estimators: dict[str, Any] = {TRAINED: LogitAdjustedClassifier(head, tau=0.0)}
    names = [row.name for row in METHODS] if methods is None else methods
    for name in names:
        estimator = get_method(name).build()
        if "base" in estimator.get_params(deep=False) and name not in _HOLD_BACK:
            estimator.set_params(base=head)
        estimators[name] = estimator
    return estimators


def report_of(comparison: Comparison) -> Report:
    """Return what a page shows of a comparison.

    The answer is about the recommended method if it was compared, else about the first
    that is not the reference: test figures choose nothing.
    """
    recommended = [(row.name, "recommended") for row in METHODS if row.recommended]
    if comparison.reference == TRAINED:
        recommended += [
            (row.name, "recommended on a trained head")
            for row in METHODS
            if row.recommended_on_base
        ]
    for name, why in recommended:
        if name in comparison.evaluations and name != comparison.reference:
            return build_report(comparison, name, chosen_by=why)
    return build_report(comparison)


def save_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Write a new folder: table, JSON, CSV, report and every method's predictions."""
    path = check_new_folder(path)
    for name in comparison.predictions:
        if Path(name).name != name or name.startswith("."):
            raise ValueError(
                f"A method's name must do as a file name to be saved; got {name!r}."
            )
    names = comparison.provenance.get("class_names")
    classes = comparison.classes if names is None else np.asarray(names)
    true = classes[positions_of(comparison.y_true, comparison.classes)]
    with written_whole(path) as folder:
        (folder / "predictions").mkdir(parents=True)
        (folder / "comparison.json").write_text(comparison.to_json(), "utf-8")
        (folder / "comparison.csv").write_text(comparison.to_csv(), "utf-8")
        (folder / "comparison.txt").write_text(comparison.to_text() + "\n", "utf-8")
        save_report(report_of(comparison), folder / REPORT_FILE)
        for name, proba in comparison.predictions.items():
            predictions = Predictions.from_proba(proba, classes, true)
            predictions.save(folder / "predictions" / f"{name}.npz")


def _feature_set(data: Any) -> FeatureSet:
    if isinstance(data, FeatureSet):
        return data
    if isinstance(data, str | os.PathLike):
        return FeatureSet.load(data)
    features, labels = data
    return FeatureSet(features, labels)


def _parameters(classifier: Any) -> dict[str, Any]:
    """Return parameters as JSON; what is neither number nor text, as its repr."""
    parameters = classifier.get_params(deep=False)
    return {name: _plain(value) for name, value in parameters.items()}


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return repr(value)


def _facts(data: FeatureSet) -> dict[str, Any]:
    return {
        "n_samples": len(data),
        "n_features": data.features.shape[1],
        "fingerprint": fingerprint(data.features, data.targets),
    }
