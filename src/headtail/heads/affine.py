"""The affine head: another head's logits, scaled and shifted class by class."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headtail.heads.head import Classes, Head, checked_vector
from headtail.heads.linear import LinearHead

__all__ = ["AffineHead", "affine_head"]


class AffineHead(Head):
    """Logits a ⊙ z + b, where z are the logits of another head.

    Parameters
    ----------
    head
        The head whose logits are changed; copied, never shared.
    scale
        The factor a of every class: [n_classes].
    bias
        The shift b of every class: [n_classes].
    classes
        Label of every row, if known; None for those of `head`.

    Examples
    --------
    >>> import torch
    >>> from headtail.heads import CosineHead
    >>> base = CosineHead(torch.eye(2), 10.0)
    >>> head = AffineHead(base, torch.tensor([1.0, 2.0]), torch.tensor([0.0, 3.0]))
    >>> head(torch.tensor([[3.0, 4.0]])).tolist()
    [[6.0, 19.0]]
    """

    def __init__(
        self, head: Head, scale: Tensor, bias: Tensor, *, classes: Classes = None
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
        """Return the changed logits of raw features."""
        return torch.addcmul(self.bias, self.head(features), self.scale)

    def select(self, rows: Tensor, classes: Classes = None) -> "AffineHead":
        """Return a head of these rows, in this order."""
        return AffineHead(
            self.head.select(rows, classes),
            self.scale[rows],
            self.bias[rows],
            classes=classes,
        )

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {"type": "affine", "head": self.head.spec()}


def affine_head(
    head: Head,
    *,
    scale: Float[Tensor, " n_classes"] | None = None,
    bias: Float[Tensor, " n_classes"] | None = None,
) -> Head:
    """Return a head with logits scale ⊙ z + bias, of the simplest form there is.

    For a linear head that is a linear head, with a bias if it or this has one; another
    head is wrapped in an `AffineHead`.

    Examples
    --------
    >>> import torch
    >>> head = affine_head(LinearHead(torch.eye(2)), scale=torch.tensor([1.0, 5.0]))
    >>> type(head).__name__, head.weight.tolist()
    ('LinearHead', [[1.0, 0.0], [0.0, 5.0]])
    """
    like = next(head.parameters()).detach()
    scale = like.new_ones(head.n_classes) if scale is None else scale.to(like)
    shift = like.new_zeros(head.n_classes) if bias is None else bias.to(like)
    if not isinstance(head, LinearHead):
        return AffineHead(head, scale, shift)
    if head.bias is not None:
        shift = shift + scale * head.bias.detach()
    return LinearHead(
        scale[:, None] * head.weight.detach(),
        None if head.bias is None and bias is None else shift,
        center=head.center,
        normalize=head.normalize,
        classes=head.classes,
    )
