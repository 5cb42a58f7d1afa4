"""The `base` of a meta-estimator: an estimator to fit, or a head that is trained."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import clone
from torch import Tensor, nn

from headtail.heads import CosineHead, Head, LinearHead
from headtail.labels import positions_of
from headtail.methods._estimator import HeadClassifier
from headtail.tensors import shown

__all__ = ["TrainedRows", "base_classifier", "trained_rows"]


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


class TrainedRows(NamedTuple):
    """A base head's rows in the order of the classes.

    The weight of a class without a row is zero; a linear head has no scale.
    """

    weight: Tensor
    scale: float | None
    trained: npt.NDArray[np.bool_]


def trained_rows(base: Head, classes: npt.NDArray[Any], n_features: int) -> TrainedRows:
    """Match the rows of a trained head to `classes`; refuse what does not fit."""
    changed = isinstance(base, LinearHead) and (
        base.center is not None or base.normalize
    )
    if changed or not isinstance(base, LinearHead | CosineHead):
        raise TypeError(
            "The base head must have one weight per class on raw features (CosineHead, "
            f"or LinearHead without center and normalize); got {type(base).__name__}."
        )
    weight = base.weight.detach()
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    if base.n_features != n_features:
        raise ValueError(
            f"The base head must take the {n_features} features of X; it takes "
            f"{base.n_features}. Pass features of the network it came from."
        )
    scale = base.scale.item() if isinstance(base, CosineHead) else None
    if base.classes is None:
        if len(weight) != len(classes):
            raise ValueError(
                "A base head without classes must have one row per distinct label in "
                f"y; it has {len(weight)} rows, y has {len(classes)} distinct labels. "
                "Pass classes= to the head to say which row is whose."
            )
        return TrainedRows(weight, scale, np.ones(len(classes), dtype=bool))
    rows = positions_of(base.classes, classes)
    if (rows < 0).any():
        raise ValueError(
            "Every class of the base head must have an example in y; "
            f"{shown(base.classes[rows < 0])} have none. Add examples, or remove those "
            "rows from the head."
        )
    aligned = weight.new_zeros(len(classes), weight.shape[1])
    aligned[torch.from_numpy(rows).to(weight.device)] = weight
    trained = np.zeros(len(classes), dtype=bool)
    trained[rows] = True
    return TrainedRows(aligned, scale, trained)
