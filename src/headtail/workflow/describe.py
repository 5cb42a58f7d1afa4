"""Tell what a file holds."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.features import FeatureSet
from headtail.files import open_metadata
from headtail.heads import Head, load_head
from headtail.registry import METHODS, Method, load_classifier
from headtail.statistics import shot_groups
from headtail.training import ImageClassifier, is_run, load_run

__all__ = ["describe"]


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return facts about a file: a network, a classifier, a head or features.

    Of a run's folder, those of its network.
    """
    path = Path(path)
    if is_run(path):
        return _network(load_run(path))
    only_features = path.is_dir() or path.suffix in (".npz", ".parquet")
    metadata = None if only_features else open_metadata(path)
    if metadata is None:
        return _features(FeatureSet.load(path))
    if "image_classifier" in metadata:
        return _network(load_run(path))
    if "estimator" not in metadata:
        return {"holds": "head", **_head(load_head(path))}
    classifier = load_classifier(path)
    parameters = {
        name: value if isinstance(value, bool | int | float | str) else _short(value)
        for name, value in classifier.get_params(deep=False).items()
    }
    facts = {
        "holds": "classifier",
        "method": _method_name(classifier),
        "parameters": parameters,
        **_head(classifier.head_),
        "training": _counts(classifier.class_counts_),
        "versions": metadata.get("versions"),
    }
    if hasattr(classifier, "donors_"):
        facts["donors"] = ", ".join(str(member) for member in classifier.donors_)
        untrained = int((classifier.trained_counts_ == 0).sum())
        facts["classes_without_trained_weight"] = untrained
    selection = getattr(classifier, "selection_", None)
    if selection is not None:
        chosen = selection.facts()
        facts["chosen"] = ", ".join(f"{k} = {v}" for k, v in chosen["best"].items())
        facts["chosen_on"] = chosen["data"]
        facts["chosen_optimistically"] = chosen["optimistic"]
    if hasattr(classifier, "class_names_"):
        facts["class_names"] = _listed(classifier.class_names_)
    else:
        facts["classes"] = _listed(classifier.classes_.tolist())
    return facts


def _network(model: ImageClassifier) -> dict[str, Any]:
    facts = {
        "holds": "network",
        "backbone": model.backbone.name,
        **_head(model.head),
        "preprocessing": model.preprocessing.spec(),
    }
    if model.class_counts is not None:
        facts["training"] = _counts(np.asarray(model.class_counts))
    if model.class_names is not None:
        facts["class_names"] = _listed(model.class_names)
    return facts


def _method_name(classifier: Any) -> str:
    """Return the row of the classifier's class and loss that agrees with it best.

    The learning rate is no sign of a method; losses without a row of their own are
    those of the plain estimator.
    """
    parameters = classifier.get_params(deep=False)
    rows = [row for row in METHODS if row.estimator is type(classifier)]
    loss = parameters.get("loss", "cross-entropy")
    same = [row for row in rows if row.parameters.get("loss", "cross-entropy") == loss]

    def agreement(row: Method) -> int:
        return sum(
            1 if parameters[name] == value else -1
            for name, value in row.parameters.items()
            if name != "learning_rate"
        )

    return max(same or rows[:1], key=agreement).name


def _head(head: Head) -> dict[str, Any]:
    return {
        "head": type(head).__name__,
        "n_classes": head.n_classes,
        "n_features": head.n_features,
    }


def _features(data: FeatureSet) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "holds": "features",
        "n_samples": len(data),
        "n_features": data.features.shape[1],
        "dtype": str(data.features.dtype),
        "zero_rows": data.zero_rows,
    }
    if data.labels is not None and len(data):
        facts["labels"] = _counts(np.unique(data.labels, return_counts=True)[1])
    if data.class_names is not None:
        facts["class_names"] = _listed(data.class_names)
    return facts


def _counts(counts: npt.NDArray[np.int64]) -> dict[str, Any]:
    groups = {name: int(mask.sum()) for name, mask in shot_groups(counts).items()}
    return {
        "n_samples": int(counts.sum()),
        "n_classes": len(counts),
        "largest_class": int(counts.max()),
        "smallest_class": int(counts.min()),
        "imbalance_ratio": round(float(counts.max() / counts.min()), 2),
        **groups,
    }


def _short(value: Any) -> str | None:
    if value is None:
        return None
    return type(value).__name__ if isinstance(value, Head) else str(value)


def _listed(names: Any, limit: int = 10) -> str:
    text = ", ".join(str(name) for name in names[:limit])
    more = len(names) - limit
    return f"{text}, … {more} more" if more > 0 else text
