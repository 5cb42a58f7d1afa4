"""The `base` of a meta-estimator: an estimator to fit, or a head that is trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, clone
from torch import Tensor, nn

from headtail.heads import CosineHead, Head, LinearHead
from headtail.labels import positions_of
from headtail.methods._estimator import HeadClassifier
from headtail.shards import ShardedArray
from headtail.tensors import ShardedRows, fingerprint, shown

__all__ = [
    "TrainedRows",
    "aligned_head",
    "base_classifier",
    "fit_base",
    "fitted_base",
    "has_trained_head",
    "one_row_per_label",
    "shared_bases",
    "trained_heads",
    "trained_rows",
]

# Heads that were fitted since `shared_bases` began, by what they were fitted from.
_SHARED: ContextVar[dict[Any, Head] | None] = ContextVar("shared", default=None)


@contextmanager
def shared_bases() -> Iterator[None]:
    """Fit equal bases on equal data once, for as long as the context lasts.

    Bases are equal if class, parameters and seed are. One without a seed, or with
    parameters other than plain values and such bases, is fitted on its own.
    """
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def fit_base(base: Any, X: Any, y: Any) -> Head:
    """Fit an estimator of `base_classifier` and return its head."""
    shared = _SHARED.get()
    settings = base.get_params(deep=False)
    seeded = isinstance(settings.get("random_state", 0), int | np.integer)
    if shared is None or not seeded or not _is_plain(base):
        head: Head = base.fit(X, y).head_
        return head
    # Of plain values the text tells all; scikit-learn would leave out the defaults.
    key = (_text_of(base), fingerprint(_array(X), _array(y)))
    if key not in shared:
        shared[key] = base.fit(X, y).head_
    return shared[key]


def has_trained_head(estimator: Any) -> bool:
    """Tell whether a head that is trained already stands anywhere in an estimator."""
    return bool(trained_heads(estimator))


def trained_heads(estimator: Any) -> dict[str, nn.Module]:
    """Return the trained heads in an estimator, by the names of their parameters."""
    parameters = estimator.get_params(deep=True)
    return {k: v for k, v in parameters.items() if isinstance(v, nn.Module)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, BaseEstimator):
        return all(_is_plain(v) for v in value.get_params(deep=False).values())
    if isinstance(value, Mapping):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str | torch.device)


def _text_of(value: Any) -> str:
    if isinstance(value, BaseEstimator):
        inner = sorted(value.get_params(deep=False).items())
        parts = ", ".join(f"{name}={_text_of(v)}" for name, v in inner)
        return f"{type(value).__module__}.{type(value).__qualname__}({parts})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text_of(v) for v in value)}]"
    return repr(value)


def base_classifier(base: Any, default: HeadClassifier, **settings: Any) -> Any:
    """Return the trained head, or an estimator to fit that is nobody else's.

    The `settings` (random_state, device) go to an estimator that has none of its own.
    """
    if isinstance(base, nn.Linear):
        return LinearHead(base.weight, base.bias)
    if isinstance(base, Head):
        return base
    base = clone(default if base is None else base, safe=base is None)
    if not isinstance(base, HeadClassifier):
        raise TypeError(
            "base must be a classifier of headtail, a CosineHead, a LinearHead, a "
            f"torch.nn.Linear or None; got {type(base).__name__}. Wrap the weights of "
            "another model in LinearHead(weight, bias)."
        )
    own = base.get_params(deep=False)
    missing = {k: v for k, v in settings.items() if k in own and own[k] is None}
    return base.set_params(**missing)


def fitted_base(
    estimator: Any, default: HeadClassifier, features: Tensor, positions: Tensor
) -> Head:
    """Return a copy of the head that the estimator builds on, its rows in order.

    The estimator has been through `_open_fit`, which gave features and positions.
    """
    base = base_classifier(
        estimator.base,
        default,
        random_state=estimator.random_state,
        device=estimator.device,
    )
    classes = estimator.classes_
    if not isinstance(base, Head):
        base = fit_base(base, features, classes[positions.numpy()])
    device = estimator._work_device(features)
    return aligned_head(base, classes, features.shape[1], device)


def _array(values: Any) -> Any:
    if isinstance(values, ShardedRows | ShardedArray):
        return values.array if isinstance(values, ShardedRows) else values
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    array = np.asarray(values)
    return array.astype(str) if array.dtype.kind == "O" else array


class TrainedRows(NamedTuple):
    """A base head's rows in the order of the classes.

    The weight of a class without a row is zero; a linear head has no scale. Its bias is
    left out, and its centre, which is a bias in other words.
    """

    weight: Tensor
    scale: float | None
    trained: npt.NDArray[np.bool_]


def trained_rows(base: Head, classes: npt.NDArray[Any], n_features: int) -> TrainedRows:
    """Match the rows of a trained head to `classes`; refuse what does not fit."""
    normalized = isinstance(base, LinearHead) and base.normalize
    if normalized or not isinstance(base, LinearHead | CosineHead):
        raise TypeError(
            "The base head must have one weight per class on raw features (CosineHead, "
            f"or LinearHead without normalize); got {type(base).__name__}."
        )
    weight = base.weight.detach()
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    _check_width(base, n_features)
    scale = base.scale.item() if isinstance(base, CosineHead) else None
    if base.classes is None:
        if len(weight) != len(classes):
            raise ValueError(one_row_per_label(len(weight), len(classes)))
        return TrainedRows(weight, scale, np.ones(len(classes), dtype=bool))
    rows = positions_of(base.classes, classes)
    if (rows < 0).any():
        raise ValueError(_without_example(base.classes[rows < 0]))
    aligned = weight.new_zeros(len(classes), weight.shape[1])
    aligned[torch.from_numpy(rows).to(weight.device)] = weight
    trained = np.zeros(len(classes), dtype=bool)
    trained[rows] = True
    return TrainedRows(aligned, scale, trained)


def aligned_head(
    base: Head, classes: npt.NDArray[Any], n_features: int, device: torch.device
) -> Head:
    """Return a copy of a trained head whose rows are those of `classes`, in order."""
    _check_width(base, n_features)
    if base.classes is None:
        if base.n_classes != len(classes):
            raise ValueError(one_row_per_label(base.n_classes, len(classes)))
        rows = np.arange(len(classes))
    else:
        rows = positions_of(classes, base.classes)
        if (rows < 0).any():
            raise ValueError(
                "The base head must have a row for every class in y; it has none for "
                f"{shown(classes[rows < 0])}. Train it on them, or drop their examples."
            )
        extra = positions_of(base.classes, classes) < 0
        if extra.any():
            raise ValueError(_without_example(base.classes[extra]))
    head = base.select(torch.from_numpy(rows), classes)
    dtype = next(head.parameters()).dtype
    return head.to(device, torch.promote_types(dtype, torch.float32))


def _check_width(base: Head, n_features: int) -> None:
    if base.n_features != n_features:
        raise ValueError(
            f"The base head must take the {n_features} features of X; it takes "
            f"{base.n_features}. Pass features of the network it came from."
        )


def one_row_per_label(n_rows: int, n_labels: int) -> str:
    """Return what to tell of a head without classes that has another size."""
    return (
        "A base head without classes must have one row per distinct label in y; it has "
        f"{n_rows} rows, y has {n_labels} distinct labels. Pass classes= to the head "
        "to say which row is whose."
    )


def _without_example(classes: npt.NDArray[Any]) -> str:
    return (
        f"Every class of the base head must have an example in y; {shown(classes)} "
        "have none. Add examples, or remove those rows from the head."
    )
