"""A network from images to logits: a backbone, a head, and what it was trained on."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from headtail.datasets import Preprocessing
from headtail.files import MISFITS, read_tensors, write_tensors
from headtail.heads import CosineHead, Head, LinearHead, build_head
from headtail.labels import decode_labels, encode_labels
from headtail.training.backbones import Backbone, build_backbone
from headtail.version import __version__

__all__ = ["ImageClassifier", "new_head"]

HeadName = Literal["linear", "cosine"]


class ImageClassifier(nn.Module):
    """A backbone and a head that are trained together.

    Parameters
    ----------
    backbone
        From normalised images to features.
    head
        From features to logits. It computes in float32, whatever the precision of the
        backbone.
    preprocessing
        What images must go through before.

    Attributes
    ----------
    class_names, class_counts
        Names and training images of the head's rows, once they are known.

    Examples
    --------
    >>> import torch
    >>> backbone = build_backbone("resnet20")
    >>> model = ImageClassifier(backbone, new_head("cosine", 64, 10))
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        if head.n_features != backbone.n_features:
            raise ValueError(
                f"The head must take the {backbone.n_features} features of the "
                f"backbone; it takes {head.n_features}."
            )
        self.backbone, self.head = backbone, head
        self.preprocessing = preprocessing or backbone.preprocessing
        self.class_names: tuple[str, ...] | None = None
        self.class_counts: tuple[int, ...] | None = None

    def forward(
        self, images: Float[Tensor, "n_samples 3 height width"]
    ) -> Float[Tensor, "n_samples n_classes"]:
        """Return the logits of normalised images."""
        features = self.backbone(images)
        # Logits in 16 bits would blur the probabilities of similar classes.
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(features.float())
        return logits

    def save(self, path: str | os.PathLike[str], **facts: Any) -> None:
        """Write the network to one safetensors file, with further facts as JSON."""
        head = self.head
        metadata = {
            "image_classifier": {
                "backbone": self.backbone.spec(),
                "preprocessing": self.preprocessing.spec(),
                "class_names": self.class_names,
                "class_counts": self.class_counts,
            },
            "head": head.spec(),
            "classes": None if head.classes is None else encode_labels(head.classes),
            "version": __version__,
            **facts,
        }
        write_tensors(path, self.state_dict(), metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ImageClassifier":
        """Read a network that `save` wrote.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If the file is truncated or foreign, or its weights do not fit its
            architecture.
        """
        tensors, metadata = read_tensors(path)
        try:
            facts = metadata["image_classifier"]
            classes = metadata["classes"]
            own = {
                name.removeprefix("head."): tensor
                for name, tensor in tensors.items()
                if name.startswith("head.")
            }
            head = build_head(
                metadata["head"],
                own,
                None if classes is None else decode_labels(classes),
            )
            backbone = _build_described(facts["backbone"], tensors)
            model = cls(backbone, head, Preprocessing(**facts["preprocessing"]))
            model.load_state_dict(tensors)
            names, counts = facts["class_names"], facts["class_counts"]
            model.class_names = None if names is None else tuple(names)
            model.class_counts = None if counts is None else tuple(counts)
        except (*MISFITS, RuntimeError) as error:
            raise ValueError(
                f"{Path(path)} must hold a network whose metadata fit its weights; "
                f"{error!s}."
            ) from error
        return model


def _build_described(
    spec: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Backbone:
    """Build the backbone that metadata, which may be anybody's, describe."""
    # Nothing else: weights would be read from another file, or fetched.
    name, width = spec["name"], spec["width"]
    if set(spec) != {"name", "width"} or type(width) is not int:
        raise ValueError(f"a backbone has a name and a width; got {sorted(spec)}")
    if any(tensor.is_complex() for tensor in tensors.values()):
        raise ValueError("the weights must be real numbers")
    # Its widest layer alone has more: memory comes only from what is there.
    if not 1 <= width**2 <= sum(tensor.numel() for tensor in tensors.values()):
        raise ValueError(f"the backbone has too few weights for width {width}")
    return build_backbone(name, width=width)


def new_head(
    kind: HeadName,
    n_features: int,
    n_classes: int,
    *,
    scale: float = 16.0,
    classes: Sequence[Any] | None = None,
    seed: int = 0,
) -> Head:
    """Return an untrained head: weights as torch's `Linear` starts them.

    Examples
    --------
    >>> new_head("cosine", 64, 10)
    CosineHead(n_features=64, n_classes=10)
    """
    generator = torch.Generator().manual_seed(seed)
    bound = n_features**-0.5
    weight = torch.rand(n_classes, n_features, generator=generator)
    weight = (2 * weight - 1) * bound
    labels = None if classes is None else np.asarray(classes)
    if kind == "cosine":
        return CosineHead(weight, scale, classes=labels)
    if kind != "linear":
        raise ValueError(f"head must be 'linear' or 'cosine'; got {kind!r}.")
    return LinearHead(weight, torch.zeros(n_classes), classes=labels)
