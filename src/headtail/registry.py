"""The table of methods: one row per method, read by the CLI, the docs and the tests."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headtail.files import MISFITS, read_tensors
from headtail.methods._files import build_classifier
from headtail.methods.base import CosineClassifier, LinearClassifier
from headtail.methods.decoupled import (
    CausalNormClassifier,
    DisAlignClassifier,
    LogitAdjustedClassifier,
    NearestClassMeanClassifier,
    RetrainedClassifier,
    TauNormalizedClassifier,
    WeightScaledClassifier,
)
from headtail.methods.transfer import (
    AlphaNetClassifier,
    CompositionalClassifier,
    CountAwareTransferClassifier,
    MetaModelNetClassifier,
    ModelRegressionClassifier,
)

__all__ = ["METHODS", "Method", "get_method", "load_classifier", "recommended_method"]


# Of losses that raise the rare classes, and of over-sampling: on validation data the
# default of 20 was worse in 13 of 15 cases, see benchmarks/learning_rates.py.
_LOSS_RATE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the table.

    Attributes
    ----------
    name
        The paper's name, on the command line too.
    estimator
        The class; several rows may share it and differ in `parameters`.
    family
        ``"base"``, ``"loss"``, ``"decoupled"`` or ``"transfer"``.
    paper
        Address of the paper; of the card where the method is our own.
    summary
        What it does, in one line.
    parameters
        Those in which the row differs from the estimator's defaults.
    recommended
        Whether it is used where the user names none.
    recommended_on_base
        Whether it is used where the user names none, but a trained head to build on.
    """

    name: str
    estimator: type[Any]
    family: Literal["base", "loss", "decoupled", "transfer"]
    paper: str
    summary: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    recommended: bool = False
    recommended_on_base: bool = False

    def build(self) -> Any:
        """Return the unfitted estimator of this row."""
        return self.estimator(**self.parameters)


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
        name="over-sampling",
        estimator=LinearClassifier,
        family="base",
        paper="https://arxiv.org/abs/1512.05830",
        summary="Train a linear head, every class repeated to the size of the largest.",
        parameters={"sampling": "over", "learning_rate": _LOSS_RATE},
    ),
    Method(
        name="under-sampling",
        estimator=LinearClassifier,
        family="base",
        paper="https://doi.org/10.1109/TKDE.2008.239",
        summary="Train a linear head, every class cut to the median class size.",
        parameters={"sampling": "under"},
    ),
    Method(
        name="class-weighted",
        estimator=LinearClassifier,
        family="loss",
        paper="https://arxiv.org/abs/1901.05555",
        summary="Train a linear head with a loss weighted by inverse class frequency.",
        parameters={"loss": "class-weighted", "learning_rate": _LOSS_RATE},
    ),
    Method(
        name="focal",
        estimator=LinearClassifier,
        family="loss",
        paper="https://arxiv.org/abs/1708.02002",
        summary="Train a linear head with a loss that looks at hard examples.",
        parameters={"loss": "focal"},
    ),
    Method(
        name="class-balanced",
        estimator=LinearClassifier,
        family="loss",
        paper="https://arxiv.org/abs/1901.05555",
        summary="Train a linear head with a loss weighted by effective numbers.",
        parameters={"loss": "class-balanced", "learning_rate": _LOSS_RATE},
    ),
    Method(
        name="balanced-softmax",
        estimator=LinearClassifier,
        family="loss",
        paper="https://arxiv.org/abs/2007.10740",
        summary="Train a linear head with the class counts inside the softmax.",
        parameters={"loss": "balanced-softmax", "learning_rate": _LOSS_RATE},
    ),
    Method(
        name="lade",
        estimator=LinearClassifier,
        family="loss",
        paper="https://arxiv.org/abs/2012.00321",
        summary="Train a linear head whose logits are freed from the class prior.",
        parameters={"loss": "lade", "learning_rate": _LOSS_RATE},
    ),
    Method(
        name="ldam-drw",
        estimator=CosineClassifier,
        family="loss",
        paper="https://arxiv.org/abs/1906.07413",
        summary="Train a cosine head with wider margins for rare classes (LDAM-DRW).",
        parameters={"loss": "ldam-drw", "sampling": "instance"},
    ),
    Method(
        name="ncm",
        estimator=NearestClassMeanClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/1910.09217",
        summary="Give every sample the class whose mean is nearest; no training.",
    ),
    Method(
        name="tau-norm",
        estimator=TauNormalizedClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/1910.09217",
        summary="Divide each class's weight by a power of its length.",
    ),
    Method(
        name="crt",
        estimator=RetrainedClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/1910.09217",
        summary="Train a new linear head, every class sampled as often as any.",
    ),
    Method(
        name="lws",
        estimator=WeightScaledClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/1910.09217",
        summary="Learn one factor per class on top of a trained classifier.",
    ),
    Method(
        name="logit-adjustment",
        estimator=LogitAdjustedClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/2007.07314",
        summary="Subtract tau * log(prior) from the logits after training.",
    ),
    Method(
        name="disalign",
        estimator=DisAlignClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/2103.16370",
        summary="Learn to align the logits of the samples that ask for it.",
    ),
    Method(
        name="causal-norm",
        estimator=CausalNormClassifier,
        family="decoupled",
        paper="https://arxiv.org/abs/2009.12991",
        summary="Train normalised logits, then take out the features' mean direction.",
    ),
    Method(
        name="compositional",
        estimator=CompositionalClassifier,
        family="transfer",
        paper="https://openaccess.thecvf.com/content/CVPR2022/html/Parisot_Long-Tail_Recognition_via_Compositional_Knowledge_Transfer_CVPR_2022_paper.html",
        summary="Compose each class's classifier from those of well-known classes.",
        recommended_on_base=True,
    ),
    Method(
        name="alphanet",
        estimator=AlphaNetClassifier,
        family="transfer",
        paper="https://arxiv.org/abs/2008.07073v1",
        summary="Learn to compose few-shot classifiers with their neighbours' ones.",
    ),
    Method(
        name="alphanet-shared",
        estimator=AlphaNetClassifier,
        family="transfer",
        paper="https://arxiv.org/abs/2008.07073",
        summary="Add to few-shot classifiers what one network composes of neighbours.",
        parameters={"variant": "shared"},
    ),
    Method(
        name="model-regression",
        estimator=ModelRegressionClassifier,
        family="transfer",
        paper="https://doi.org/10.1007/978-3-319-46466-4_37",
        summary="Regress many-shot from few-shot weights by one network.",
    ),
    Method(
        name="metamodelnet-fixed",
        estimator=MetaModelNetClassifier,
        family="transfer",
        paper="https://proceedings.neurips.cc/paper/2017/hash/147ebe637038ca50a1265abac8dea181-Abstract.html",
        summary="Learn how weights grow from one number of examples on.",
        parameters={"split": "fixed"},
    ),
    Method(
        name="metamodelnet",
        estimator=MetaModelNetClassifier,
        family="transfer",
        paper="https://proceedings.neurips.cc/paper/2017/hash/147ebe637038ca50a1265abac8dea181-Abstract.html",
        summary="Learn how weights grow with data, and let those of tail classes grow.",
    ),
    Method(
        name="count-aware-transfer",
        estimator=CountAwareTransferClassifier,
        family="transfer",
        paper="docs/methods/count-aware-transfer.md",
        summary="Whiten, train balanced, borrow by count; it chooses its own settings.",
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


def recommended_method(*, on_base: bool = False) -> Method:
    """Return the row to use where the user names none, with or without a base."""
    return next(
        m for m in METHODS if (m.recommended_on_base if on_base else m.recommended)
    )


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
    except MISFITS as error:
        raise ValueError(
            f"{Path(path)} must hold a classifier whose parts fit each other; "
            f"{error!s}."
        ) from error
