"""The losses that a head can be trained with, by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from headtail.losses.checks import Number, PerClass
from headtail.losses.class_balanced import ClassBalancedLoss, effective_number_weights
from headtail.losses.cross_entropy import CrossEntropyLoss, inverse_frequency_weights
from headtail.losses.deferred import DeferredReweightingLoss
from headtail.losses.focal import FocalLoss
from headtail.losses.lade import LADELoss
from headtail.losses.ldam import LDAMLoss
from headtail.losses.logit_adjusted import BalancedSoftmaxLoss, LogitAdjustedLoss
from headtail.losses.loss import Loss
from headtail.tensors import shown

__all__ = ["LOSSES", "build_loss"]


def _cross_entropy(class_counts: PerClass) -> Loss:
    return CrossEntropyLoss()


def _class_weighted(class_counts: PerClass) -> Loss:
    return CrossEntropyLoss(weight=inverse_frequency_weights(class_counts))


def _focal(class_counts: PerClass, *, gamma: Number = 2.0) -> Loss:
    return FocalLoss(gamma=gamma)


def _class_balanced(class_counts: PerClass, *, beta: Number = 0.9999) -> Loss:
    return ClassBalancedLoss(class_counts, beta=beta)


def _class_balanced_focal(
    class_counts: PerClass, *, beta: Number = 0.9999, gamma: Number = 2.0
) -> Loss:
    return ClassBalancedLoss(class_counts, beta=beta, gamma=gamma)


def _ldam(
    class_counts: PerClass, *, max_margin: Number = 0.5, scale: Number = 30.0
) -> Loss:
    return LDAMLoss(class_counts, max_margin=max_margin, scale=scale)


def _ldam_drw(
    class_counts: PerClass,
    *,
    max_margin: Number = 0.5,
    scale: Number = 30.0,
    beta: Number = 0.9999,
    start: Number = 0.8,
) -> Loss:
    weight = effective_number_weights(class_counts, beta=beta)
    before = LDAMLoss(class_counts, max_margin=max_margin, scale=scale)
    after = LDAMLoss(class_counts, max_margin=max_margin, scale=scale, weight=weight)
    return DeferredReweightingLoss(before, after, start=start)


# The keyword-only arguments of each are the options of the loss.
_BUILDERS: dict[str, Callable[..., Loss]] = {
    "cross-entropy": _cross_entropy,
    "class-weighted": _class_weighted,
    "focal": _focal,
    "class-balanced": _class_balanced,
    "class-balanced-focal": _class_balanced_focal,
    "balanced-softmax": BalancedSoftmaxLoss,
    "logit-adjusted": LogitAdjustedLoss,
    "ldam": _ldam,
    "ldam-drw": _ldam_drw,
    "lade": LADELoss,
}

LOSSES: tuple[str, ...] = tuple(_BUILDERS)


def build_loss(
    name: str, class_counts: PerClass, options: Mapping[str, Any] | None = None
) -> Loss:
    """Return the loss called `name`, one of `LOSSES`, for these classes.

    Parameters
    ----------
    name
        One of `LOSSES`. ``"ldam"`` and ``"ldam-drw"`` need a cosine head with the
        fixed scale of the loss.
    class_counts
        Training samples per class, at least 1 each.
    options
        Keyword arguments of the loss; what is not named keeps its default.

    Examples
    --------
    >>> build_loss("focal", [90, 10], {"gamma": 1.5}).gamma
    1.5
    >>> build_loss("focal", [90, 10], {"beta": 0.9})
    Traceback (most recent call last):
    ...
    ValueError: loss 'focal' has no option ['beta']; its options are ['gamma'].
    """
    if name not in _BUILDERS:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {name!r}.")
    builder = _BUILDERS[name]
    options = {} if options is None else dict(options)
    parameters = inspect.signature(builder).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    unknown = [option for option in options if option not in known]
    if unknown:
        have = f"its options are {shown(known)}" if known else "it has none"
        raise ValueError(f"loss {name!r} has no option {shown(unknown)}; {have}.")
    return builder(class_counts, **options)
