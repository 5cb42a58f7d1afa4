"""Fitted estimators as one safetensors file: parameters, fitted state, head."""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from headtail.files import write_tensors
from headtail.heads import Head, LinearHead, build_head
from headtail.labels import decode_labels, encode_labels
from headtail.methods._chain import Chain, build_chain
from headtail.methods._selection import Selection
from headtail.statistics import ClassStatistics
from headtail.version import __version__

__all__ = ["build_classifier", "save_classifier"]

_COMMON = ("classes_", "class_counts_", "n_features_in_", "head_")
_OPTIONAL = ("class_names_", "feature_names_in_")
# What every fitted attribute is, wherever an estimator has it.
_KINDS: dict[str, Any] = {
    "classes_": np.ndarray,
    "class_counts_": np.ndarray,
    "n_features_in_": int,
    "head_": Head,
    "base_head_": Head,
    "statistics_": ClassStatistics,
    "trained_counts_": np.ndarray,
    "scales_": np.ndarray,
    "donors_": tuple,
    "tau_": float,
    "selection_": Selection | None,
    "few_classes_": np.ndarray,
    "neighbors_": np.ndarray,
    "neighbor_distances_": np.ndarray,
    "coefficients_": np.ndarray,
    "best_coefficients_": np.ndarray,
    "shots_": tuple,
    "model_shots_": tuple,
    "blocks_": np.ndarray,
    "chain_": Chain,
    "unit_": float,
    "plain_head_": Head,
    "few_shot_weight_": np.ndarray,
    "lengths_": np.ndarray,
    "mixture_": Mapping,
    "map_": np.ndarray,
    "center_": np.ndarray,
    "weight_": np.ndarray,
    "bias_": np.ndarray,
}
_STATISTICS = ("class_counts", "zero_counts", "sums", "unit_sums")


def save_classifier(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator; see `HeadClassifier.save_classifier`."""
    tensors: dict[str, Tensor] = {}
    names = [*_COMMON, *estimator._saved]
    names += [name for name in _OPTIONAL if hasattr(estimator, name)]
    metadata = {
        "estimator": _encode(estimator, "parameters", tensors),
        "fitted": {
            name: _encode(getattr(estimator, name), name, tensors) for name in names
        },
        "head": estimator.head_.spec(),
        "classes": encode_labels(estimator.classes_),
        "versions": {
            "headtail": __version__,
            "torch": torch.__version__.split("+")[0],
            "scikit-learn": sklearn.__version__,
        },
    }
    # `load_head` looks for the head under this name, in every file.
    tensors = {re.sub(r"^head_\.", "head.", name): t for name, t in tensors.items()}
    write_tensors(path, tensors, metadata)


def build_classifier(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    estimators: Mapping[str, type[Any]],
) -> Any:
    """Rebuild the estimator that `save_classifier` took apart; check that it fits."""
    tensors = {re.sub(r"^head\.", "head_.", name): t for name, t in tensors.items()}
    estimator = _decode(metadata["estimator"], "parameters", tensors, estimators)
    fitted = metadata["fitted"]
    required = {*_COMMON, *estimator._saved}
    if not required <= set(fitted) <= required | set(_OPTIONAL):
        raise ValueError(
            f"a fitted {type(estimator).__name__} has {sorted(required)}; got "
            f"{sorted(fitted)}"
        )
    for name, encoded in fitted.items():
        setattr(estimator, name, _decode(encoded, name, tensors, estimators))
    _check_types(estimator)
    _check_fit(estimator)
    _check_sizes(estimator)
    estimator._check_loaded()
    return estimator


def _check_types(estimator: Any) -> None:
    """Refuse fitted attributes that are not what they are called."""
    for name, kinds in _KINDS.items():
        value = getattr(estimator, name, None)
        if name in (*_COMMON, *estimator._saved) and not isinstance(value, kinds):
            raise ValueError(f"{name} must not be of type {type(value).__name__}")
    if "base_head_" in estimator._saved:
        labels = estimator.base_head_.classes
        if labels is None or labels.tolist() != estimator.classes_.tolist():
            raise ValueError("classes_ must be those of the base head")


def _check_fit(estimator: Any) -> None:
    """Refuse parts that do not fit each other."""
    estimator._validate_params()
    n_classes, n_features = len(estimator.classes_), estimator.n_features_in_
    counts = estimator.class_counts_
    if counts.dtype != np.int64 or (counts < 1).any():
        raise ValueError("class_counts_ must be integers of at least 1")
    if estimator.head_.classes.tolist() != estimator.classes_.tolist():
        raise ValueError("classes_ must be those of the head, distinct")
    if len(getattr(estimator, "class_names_", estimator.classes_)) != n_classes:
        raise ValueError(f"class_names_ must name {n_classes} classes")
    if len(getattr(estimator, "feature_names_in_", range(n_features))) != n_features:
        raise ValueError(f"feature_names_in_ must name {n_features} features")


def _check_sizes(estimator: Any) -> None:
    """Refuse heads, statistics and arrays of another size."""
    n_classes, n_features = len(estimator.classes_), estimator.n_features_in_
    # A name stands for the size that it has where it is first seen.
    known: dict[str | int, int] = {"n_classes": n_classes, "n_features": n_features}
    for name in _COMMON + estimator._saved:
        value = getattr(estimator, name)
        if isinstance(value, Head | ClassStatistics):
            size = (value.n_classes, value.n_features)
            fits = size == (n_classes, n_features)
        elif isinstance(value, np.ndarray):
            size = value.shape
            wanted = estimator._shapes.get(name, ("n_classes",))
            fits = len(size) == len(wanted) and all(
                length
                == (known.setdefault(key, length) if isinstance(key, str) else key)
                for length, key in zip(size, wanted, strict=True)
            )
        else:
            continue
        if not fits:
            raise ValueError(
                f"{name} must fit {n_classes} classes and {n_features} features; its "
                f"size is {size}"
            )


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON; what is numbers in bulk goes into `tensors`."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_encode(x, f"{name}.{i}", tensors) for i, x in enumerate(value)]
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, nn.Linear):
        value = LinearHead(value.weight, value.bias)
    if isinstance(value, Head):
        tensors |= {f"{name}.{key}": t for key, t in value.state_dict().items()}
        labels = None if value.classes is None else encode_labels(value.classes)
        return {"kind": "head", "spec": value.spec(), "classes": labels}
    if isinstance(value, Chain):
        tensors |= {f"{name}.{key}": t for key, t in value.state_dict().items()}
        return {"kind": "chain", "spec": value.spec()}
    if isinstance(value, Mapping):
        return {
            "kind": "mapping",
            "items": {k: _encode(x, f"{name}.{k}", tensors) for k, x in value.items()},
        }
    if isinstance(value, Selection):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"kind": "selection", "fields": _encode(fields, name, tensors)}
    if isinstance(value, ClassStatistics):
        tensors |= {f"{name}.{key}": getattr(value, key) for key in _STATISTICS}
        return {"kind": "statistics"}
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "UO":
        return {"kind": "labels", **encode_labels(value)}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(value.copy())
        return {"kind": "array"}
    if isinstance(value, BaseEstimator) and ".methods." in type(value).__module__:
        parameters = {
            key: _encode(inner, f"{name}.{key}", tensors)
            for key, inner in value.get_params(deep=False).items()
        }
        return {
            "kind": "estimator",
            "name": type(value).__name__,
            "parameters": parameters,
        }
    raise TypeError(
        f"{name} must be a number, text, sequence, head or method of headtail to be "
        f"saved; got {type(value).__name__}. Set it to such a value before saving."
    )


def _decode(
    encoded: Any,
    name: str,
    tensors: Mapping[str, Tensor],
    estimators: Mapping[str, type[Any]],
) -> Any:
    if isinstance(encoded, list):
        return tuple(
            _decode(x, f"{name}.{i}", tensors, estimators)
            for i, x in enumerate(encoded)
        )
    if not isinstance(encoded, dict):
        return encoded
    kind = encoded["kind"]
    if kind == "labels":
        return decode_labels(encoded)
    if kind == "array":
        return tensors[name].numpy()
    if kind == "mapping":
        items = encoded["items"].items()
        return {k: _decode(x, f"{name}.{k}", tensors, estimators) for k, x in items}
    if kind == "selection":
        return _build_selection(_decode(encoded["fields"], name, tensors, estimators))
    if kind == "statistics":
        return _build_statistics(*(tensors[f"{name}.{key}"] for key in _STATISTICS))
    if kind == "chain":
        return build_chain(encoded["spec"], _under(name, tensors))
    if kind == "head":
        own = _under(name, tensors)
        labels = encoded["classes"]
        classes = None if labels is None else decode_labels(labels)
        return build_head(encoded["spec"], own, classes)
    if kind == "estimator":
        if encoded["name"] not in estimators:
            raise ValueError(
                f"estimator {encoded['name']!r} is not known; known are "
                f"{sorted(estimators)}"
            )
        parameters = {
            key: _decode(inner, f"{name}.{key}", tensors, estimators)
            for key, inner in encoded["parameters"].items()
        }
        return estimators[encoded["name"]](**parameters)
    raise ValueError(f"{name} is of unknown kind {kind!r}")


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a module, by their names in it."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }


def _build_selection(fields: dict[str, Any]) -> Selection:
    selection = Selection(**fields)
    scores = selection.scores
    best, count = selection.best_index, selection.n_samples
    typed = (
        isinstance(selection.candidates, tuple)
        and all(isinstance(candidate, Mapping) for candidate in selection.candidates)
        and isinstance(scores, np.ndarray)
        and isinstance(selection.missing_classes, np.ndarray)
        and isinstance(selection.data, str)
        and isinstance(selection.optimistic, bool)
        and type(best) is type(count) is int
    )
    if not typed or scores.shape != (len(selection.candidates),):
        raise ValueError("the selection must have a score for every candidate")
    if best not in range(len(scores)):
        raise ValueError("the selection must have chosen one of its candidates")
    return selection


def _build_statistics(
    counts: Tensor, zeros: Tensor, sums: Tensor, unit_sums: Tensor
) -> ClassStatistics:
    integer = counts.dtype == zeros.dtype == torch.int64
    double = sums.dtype == unit_sums.dtype == torch.float64
    shapes = sums.ndim == 2 and sums.shape == unit_sums.shape
    lengths = counts.shape == zeros.shape == sums.shape[:1]
    if not (integer and double and shapes and lengths):
        raise ValueError("the four tensors of the statistics do not fit each other")
    values = bool((zeros >= 0).all() and (counts >= zeros).all())
    if not (values and torch.isfinite(sums).all() and torch.isfinite(unit_sums).all()):
        raise ValueError("the statistics must be finite, their counts at least 0")
    return ClassStatistics.from_tensors(counts, zeros, sums, unit_sums)
