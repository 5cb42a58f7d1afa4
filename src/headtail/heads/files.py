"""Reading heads back from files, with every fact about them checked."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from headtail.files import MISFITS, read_tensors
from headtail.heads.affine import AffineHead
from headtail.heads.causal_norm import CausalNormHead
from headtail.heads.cosine import CosineHead
from headtail.heads.disalign import DisAlignHead
from headtail.heads.ensemble import EnsembleHead
from headtail.heads.head import Classes, Head
from headtail.heads.linear import LinearHead
from headtail.heads.whitened import WhitenedHead
from headtail.labels import decode_labels

__all__ = ["build_head", "load_head"]

# What each type of head keeps of its own in its state dict: required, optional.
_TENSORS: dict[str, tuple[set[str], set[str]]] = {
    "linear": ({"weight"}, {"bias", "center"}),
    "cosine": ({"weight", "scale"}, set()),
    "affine": ({"scale", "bias"}, set()),
    "disalign": ({"scale", "bias", "confidence"}, set()),
    "causal-norm": ({"weight", "direction"}, set()),
    "whitened": ({"map", "center"}, set()),
}


def load_head(path: str | os.PathLike[str]) -> Head:
    """Read a head that `Head.save` or an estimator's `save_classifier` wrote.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If the file is truncated, foreign, or its metadata do not fit its weights.
    """
    tensors, metadata = read_tensors(path)
    try:
        classes = metadata.get("classes")
        return build_head(
            metadata["head"],
            {
                name.removeprefix("head."): tensor
                for name, tensor in tensors.items()
                if name.startswith("head.")
            },
            None if classes is None else decode_labels(classes),
        )
    except MISFITS as error:
        raise ValueError(
            f"{Path(path)} must hold a head whose metadata fit its weights; {error!s}."
        ) from error


def build_head(
    spec: Mapping[str, Any], tensors: Mapping[str, Tensor], classes: Classes = None
) -> Head:
    """Build the head that `spec` describes from the tensors of its state dict."""
    kind = spec["type"]
    if kind == "ensemble":
        return _build_ensemble(spec["members"], tensors, classes)
    if kind not in _TENSORS:
        known = ", ".join(sorted([*_TENSORS, "ensemble"]))
        raise ValueError(f"head type must be one of {known}; got {kind!r}")
    inner, own = None, dict(tensors)
    if kind in ("affine", "disalign", "whitened") and "head" in spec:
        part, own = _taken("head.", own)
        inner = build_head(spec["head"], part, classes)
    required, optional = _TENSORS[kind]
    if not required <= set(own) <= required | optional:
        raise ValueError(
            f"a {kind} head has the tensors {sorted(required)} and maybe "
            f"{sorted(optional)}; got {sorted(own)}"
        )
    if kind == "cosine":
        return CosineHead(own["weight"], own["scale"], classes=classes)
    if kind == "affine" and inner is not None:
        return AffineHead(inner, own["scale"], own["bias"], classes=classes)
    if kind == "disalign" and inner is not None:
        return DisAlignHead(inner, **own, classes=classes)
    if kind == "whitened" and inner is not None:
        normalize = spec["normalize"] is True
        return WhitenedHead(inner, **own, normalize=normalize, classes=classes)
    if kind == "causal-norm":
        chunks, alpha = spec["n_chunks"], spec["alpha"]
        return CausalNormHead(**own, n_chunks=chunks, alpha=alpha, classes=classes)
    if kind != "linear":
        raise ValueError(f"a {kind} head must hold another head")
    return LinearHead(
        own["weight"],
        own.get("bias"),
        center=own.get("center"),
        normalize=spec["normalize"] is True,
        classes=classes,
    )


def _build_ensemble(
    specs: list[Mapping[str, Any]], tensors: Mapping[str, Tensor], classes: Classes
) -> EnsembleHead:
    members, left = [], dict(tensors)
    for position, spec in enumerate(specs):
        own, left = _taken(f"members.{position}.", left)
        members.append(build_head(spec, own))
    if left:
        raise ValueError(f"tensors {sorted(left)} belong to no member")
    return EnsembleHead(members, classes=classes)


def _taken(
    prefix: str, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors below `prefix`, without it, and those that are left."""
    own = {
        k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)
    }
    return own, {k: t for k, t in tensors.items() if not k.startswith(prefix)}
