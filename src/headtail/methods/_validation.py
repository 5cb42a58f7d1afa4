"""Choose a parameter on held-out data: never on the test data, and on record."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from headtail.labels import positions_of
from headtail.methods._base_head import has_trained_head
from headtail.methods._door import check_finite
from headtail.methods._estimator import HeadClassifier
from headtail.methods._generator import new_generator
from headtail.methods._selection import Selection, mean_recalls
from headtail.samplers import hold_out
from headtail.tensors import shown

__all__ = [
    "HeldOut",
    "hold_out_or_open",
    "select_on_validation",
]


def select_on_validation(
    estimator: Any,
    name: str,
    grid: Sequence[float],
    features: Tensor,
    positions: Tensor,
    validation: tuple[Any, Any] | None,
) -> tuple[Selection, Any]:
    """Score the values of a parameter; return the record and the fitted trial.

    The trial is fitted on the training data without what is held out. Without
    `validation`, a part of the training data is held out, class by class; a head that
    was trained before may have seen that part, so the record says optimistic.
    """
    trial = clone(estimator).set_params(**{name: grid[0]})
    optimistic = validation is None and has_trained_head(estimator)
    labels = estimator.classes_
    part = hold_out_or_open(
        estimator,
        features,
        positions,
        validation,
        new_generator(estimator.random_state),
        f"{name}='auto'",
        f", or a number for {name}",
    )
    kept = part.kept
    if kept is None:
        trial.fit(features, labels[positions.numpy()])
    else:
        learned = features[kept.to(features.device)]
        trial.fit(learned, labels[positions[kept].numpy()])
    if optimistic:
        warnings.warn(
            f"{name}='auto' holds out training data that the given head may have been "
            "trained on: the choice is optimistic. Pass validation=(X, y) to fit.",
            stacklevel=3,
        )
    candidates = tuple({name: value} for value in grid)
    predicted = trial._predict_candidates(part.features, candidates)
    recalls = mean_recalls(predicted, part.positions, len(labels))
    scores = recalls.nanmean(dim=1).numpy()
    missing = labels[recalls[0].isnan().numpy()]
    record = Selection(
        candidates=candidates,
        scores=scores,
        best_index=int(scores.argmax()),
        data=part.data,
        n_samples=len(part.positions),
        missing_classes=missing,
        optimistic=optimistic,
    )
    return record, trial


class HeldOut(NamedTuple):
    """What a choice is made on.

    Attributes
    ----------
    kept
        Marks the training data that may be learned from; None for all of them.
    features, positions
        Of the examples that decide.
    data
        What they are, in words.
    """

    kept: Tensor | None
    features: Tensor
    positions: Tensor
    data: str


def hold_out_or_open(
    estimator: Any,
    features: Tensor,
    positions: Tensor,
    validation: tuple[Any, Any] | None,
    generator: torch.Generator,
    choice: str,
    otherwise: str = "",
) -> HeldOut:
    """Hold out a part of the training data, or open the validation data."""
    if validation is not None:
        opened = _open_validation(estimator, validation)
        return HeldOut(None, *opened, "the validation data given to fit")
    fraction = estimator.validation_fraction
    held = hold_out(positions, fraction, generator)
    if not held.any():
        raise ValueError(
            f"{choice} needs a class with enough examples to hold out {fraction:g} of "
            f"it; the largest has {int(positions.bincount().max())}. Pass "
            f"validation=(X, y) to fit{otherwise}."
        )
    return HeldOut(
        ~held,
        features[held.to(features.device)],
        positions[held],
        f"{fraction:g} of the training data, held out",
    )


def _open_validation(
    estimator: HeadClassifier, validation: tuple[Any, Any]
) -> tuple[Tensor, Tensor]:
    """Check validation data; say which classes they lack."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise TypeError(
            "validation must be a pair (X, y); got "
            f"{type(validation).__name__}. Pass features and labels."
        )
    features, y = estimator._open_labelled(*validation, reset=False)
    try:
        check_finite(features)
    except ValueError as error:
        raise ValueError(f"In the validation data: {error}") from error
    classes = estimator.classes_
    positions = positions_of(np.asarray(y), classes)
    if (positions < 0).any():
        raise ValueError(
            "Every class of the validation data must occur in the training data; "
            f"{shown(np.unique(np.asarray(y)[positions < 0]))} do not. Remove their "
            "examples."
        )
    missing = np.setdiff1d(np.arange(len(classes)), positions)
    if len(missing):
        warnings.warn(
            f"The validation data lack {len(missing)} of {len(classes)} classes "
            f"({shown(classes[missing])}); the choice rests on the other classes.",
            stacklevel=5,
        )
    return features, torch.from_numpy(positions)
