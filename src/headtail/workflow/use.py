"""Evaluate and predict with a fitted classifier on a feature set."""

from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.evaluation import Evaluation, evaluate
from headtail.features import FeatureSet
from headtail.labels import positions_of
from headtail.matching import class_names_of, matched_labels
from headtail.predictions import Predictions
from headtail.statistics import Convention

__all__ = ["evaluate_classifier", "predict_features"]


def evaluate_classifier(
    classifier: Any,
    test: FeatureSet,
    *,
    convention: Convention = "decoupling",
    seed: int = 0,
) -> Evaluation:
    """Evaluate a fitted classifier on labelled features; classes match as in `add`."""
    return evaluate(
        _matched(classifier, test),
        classifier.predict_proba(test.features),
        classifier.class_counts_,
        classes=classifier.classes_,
        convention=convention,
        seed=seed,
    )


def predict_features(classifier: Any, data: FeatureSet) -> Predictions:
    """Predict features; the classes are names if the classifier has names.

    If the features have labels, they are matched and kept as the true classes.
    """
    names = np.asarray(class_names_of(classifier))
    classes = names if hasattr(classifier, "class_names_") else classifier.classes_
    true = None
    if data.labels is not None:
        labels = _matched(classifier, data)
        true = classes[positions_of(labels, classifier.classes_)]
    return Predictions.from_proba(
        classifier.predict_proba(data.features), classes, true
    )


def _matched(classifier: Any, data: FeatureSet) -> npt.NDArray[Any]:
    names = getattr(classifier, "class_names_", None)
    return matched_labels(data, classifier.classes_, names)
