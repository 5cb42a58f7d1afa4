"""Any head that is linear in features, or in their directions, as one linear head."""

import torch

from headtail.heads.affine import AffineHead, affine_head
from headtail.heads.cosine import CosineHead
from headtail.heads.head import Head
from headtail.heads.linear import LinearHead
from headtail.tensors import unit

__all__ = ["linear_form"]


@torch.no_grad()
def linear_form(head: Head) -> LinearHead:
    """Return a linear head with the same logits; learned factors are folded in.

    A `LinearHead` is returned as it is. The weight of a `CosineHead` is its scale times
    its unit rows, on features of unit length; an `AffineHead` around either scales
    weight and bias.

    Raises
    ------
    TypeError
        If a class of the head has no single weight vector.

    Examples
    --------
    >>> linear_form(CosineHead(torch.tensor([[3.0, 4.0]]), 10.0)).weight.tolist()
    [[6.0, 8.0]]
    """
    if isinstance(head, LinearHead):
        return head
    if isinstance(head, CosineHead):
        weight = head.scale * unit(head.weight)
        return LinearHead(weight, normalize=True, classes=head.classes)
    if isinstance(head, AffineHead):
        inner = linear_form(head.head)
        folded = affine_head(inner, scale=head.scale, bias=head.bias)
        return folded.select(torch.arange(head.n_classes), head.classes)  # type: ignore[return-value]
    raise TypeError(
        "The head must have one weight vector per class (LinearHead, CosineHead, or an "
        f"AffineHead around one); got {type(head).__name__}."
    )
