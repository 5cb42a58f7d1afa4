"""The DisAlign head: another head's logits, aligned where a sample asks for it."""

import copy
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from headtail.heads.head import Classes, Head, checked_vector

__all__ = ["DisAlignHead", "align_logits"]


def align_logits(
    logits: Float[Tensor, "n_samples n_classes"],
    features: Float[Tensor, "n_samples n_features"],
    *,
    scale: Float[Tensor, " n_classes"],
    bias: Float[Tensor, " n_classes"],
    confidence: Float[Tensor, " n_features"],
) -> Float[Tensor, "n_samples n_classes"]:
    """Return s·(a ⊙ z + b) + (1 - s)·z with s = sigmoid(v·x), as in DisAlign.

    ``scale=1`` and ``bias=0`` leave the logits as they are. A confidence of zeros
    weighs both sides alike.

    References
    ----------
    Zhang et al. "Distribution Alignment: A Unified Framework for Long-Tail Visual
    Recognition." CVPR 2021.

    Examples
    --------
    >>> import torch
    >>> z, x, one = torch.ones(1, 1), torch.ones(1, 1), torch.ones(1)
    >>> align_logits(z, x, scale=3 * one, bias=one, confidence=0 * one)
    tensor([[2.5000]])
    """
    share = (features @ confidence).sigmoid()[:, None]
    return logits + share * ((scale - 1) * logits + bias)


class DisAlignHead(Head):
    """Another head's logits through `align_logits`.

    Parameters
    ----------
    head
        The head whose logits are aligned; copied, never shared.
    scale, bias
        The factor a and the shift b of every class: [n_classes].
    confidence
        The vector v on raw features that tells how much a sample is aligned:
        [n_features].
    classes
        Label of every row, if known; None for those of `head`.
    """

    def __init__(
        self,
        head: Head,
        scale: Tensor,
        bias: Tensor,
        confidence: Tensor,
        *,
        classes: Classes = None,
    ) -> None:
        super().__init__()
        if not isinstance(head, Head):
            raise TypeError(
                f"head must be a head of headtail.heads; got {type(head).__name__}."
            )
        self.head = copy.deepcopy(head)
        like = next(head.parameters())
        self.scale = nn.Parameter(checked_vector(scale, "scale", self.n_classes, like))
        self.bias = nn.Parameter(checked_vector(bias, "bias", self.n_classes, like))
        self.confidence = nn.Parameter(
            checked_vector(confidence, "confidence", self.n_features, like)
        )
        self._set_classes(head.classes if classes is None else classes)

    @property
    def n_classes(self) -> int:
        """Number of rows, one per class."""
        return self.head.n_classes

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return self.head.n_features

    def forward(
        self, features: Float[Tensor, "n_samples n_features"]
    ) -> Float[Tensor, "n_samples n_classes"]:
        """Return the aligned logits of raw features."""
        return align_logits(
            self.head(features),
            features.to(self.confidence.dtype),
            scale=self.scale,
            bias=self.bias,
            confidence=self.confidence,
        )

    def select(self, rows: Tensor, classes: Classes = None) -> "DisAlignHead":
        """Return a head of these rows, in this order."""
        return DisAlignHead(
            self.head.select(rows, classes),
            self.scale[rows],
            self.bias[rows],
            self.confidence,
            classes=classes,
        )

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {"type": "disalign", "head": self.head.spec()}
