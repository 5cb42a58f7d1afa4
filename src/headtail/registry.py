"""The table of methods: one row per method, read by the CLI, the docs and the tests."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headtail.files import read_tensors
from headtail.methods._files import build_classifier
from headtail.methods.base import CosineClassifier, LinearClassifier
from headtail.methods.decoupled import NearestClassMeanClassifier
from headtail.methods.transfer import CompositionalClassifier

__all__ = ["METHODS", "Method", "get_method", "load_classifier", "recommended_method"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the table."""

    name: str
    estimator: type[Any]
    family: Literal["base", "decoupled", "transfer"]
    paper: str
    summary: str
    recommended: bool = False


METHODS: tuple[Method, ...] = (
    Method(
        name="linear",
        estimator=LinearClassifier,
        family="base",
        paper="https://arxiv.org/abs/1910.09217",
        summary="Train a linear head on the features (joint training's classifier).",
    ),
    Method(
        name="cosine",
        estimator=CosineClassifier,
        family="base",
        paper="https://arxiv.org/abs/1804.09458",
        summary="Train a cosine head on the features, square-root sampled.",
    ),
    Method(
        name="ncm",
        estimator=NearestClassMeanClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/1910.09217",
        summary="Give every sample the class whose mean is nearest; no training.",
    ),
    Method(
        name="compositional",
        estimator=CompositionalClassifier,
        family="transfer",
        paper="https://openaccess.thecvf.com/content/CVPR2022/html/Parisot_Long-Tail_Recognition_via_Compositional_Knowledge_Transfer_CVPR_2022_paper.html",
        summary="Compose each class's classifier from those of well-known classes.",
        recommended=True,
    ),
)


def get_method(name: str) -> Method:
    """Return the row called `name`."""
    for method in METHODS:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in METHODS)
    raise ValueError(f"Unknown method {name!r}. Known methods: {known}.")


def recommended_method() -> Method:
    """Return the row to use where the user names none."""
    return next(method for method in METHODS if method.recommended)


def load_classifier(path: str | os.PathLike[str]) -> Any:
    """Read a fitted estimator that `save_classifier` wrote.

    Only estimators of the table are built; nothing is unpickled. A base that was a
    `torch.nn.Linear` comes back as a `LinearHead`, a sequence as a tuple.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If the file is truncated, foreign, holds a head alone, or its parts do not fit
        each other.
    """
    tensors, metadata = read_tensors(path)
    if "estimator" not in metadata:
        raise ValueError(
            f"{Path(path)} must hold a classifier; it holds a head alone. Read it with "
            "load_head, or write the estimator with save_classifier."
        )
    estimators = {m.estimator.__name__: m.estimator for m in METHODS}
    try:
        return build_classifier(tensors, metadata, estimators)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{Path(path)} must hold a classifier whose parts fit each other; "
            f"{error!s}."
        ) from error
