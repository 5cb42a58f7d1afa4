"""The whitened head: a linear map of the features, then another head."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headtail.heads.head import Classes, Head, checked_vector, checked_weight
from headtail.heads.linear import LinearHead
from headtail.tensors import unit

__all__ = ["WhitenedHead", "whitened_head"]


class WhitenedHead(Head):
    """Another head's logits of (x - center) · map.

    Parameters
    ----------
    head
        The head on mapped features; copied, never shared.
    map
        The linear map, [n_features, width of `head`].
    center
        Subtracted before it, [n_features].
    normalize
        Whether features are scaled to unit length first (a zero row stays zero).
    classes
        Label of every row, if known; None for those of `head`.

    Examples
    --------
    >>> import torch
    >>> from headtail.heads import CosineHead
    >>> head = CosineHead(torch.eye(2), 1.0)
    >>> head = WhitenedHead(head, torch.diag(torch.tensor([1.0, 2.0])), torch.ones(2))
    >>> head(torch.tensor([[4.0, 3.0]])).tolist()  # the cosines of [3, 4]
    [[0.600..., 0.800...]]
    """

    map: Tensor
    center: Tensor

    def __init__(
        self,
        head: Head,
        map: Tensor,
        center: Tensor,
        *,
        normalize: bool = False,
        classes: Classes = None,
    ) -> None:
        super().__init__()
        if not isinstance(head, Head):
            raise TypeError(
                f"head must be a head of headtail.heads; got {type(head).__name__}."
            )
        self.head = copy.deepcopy(head)
        like = next(head.parameters())
        sizes = "[n_features, n_features of head]"
        map = checked_weight(map, "map", sizes).to(like)
        map = checked_weight(map, "map", sizes)  # what float16 cannot hold is inf
        if map.shape[1] != head.n_features:
            raise ValueError(
                f"map must lead to the {head.n_features} features of head; got shape "
                f"{list(map.shape)}."
            )
        self.register_buffer("map", map)
        center = checked_vector(center, "center", len(map), like)
        self.register_buffer("center", center)
        self.normalize = normalize
        self._set_classes(head.classes if classes is None else classes)
        # One order of the classes: that of this head.
        self.head.classes = self.classes

    @property
    def n_classes(self) -> int:
        """Number of rows, one per class."""
        return self.head.n_classes

    @property
    def n_features(self) -> int:
        """Length of a feature vector before the map."""
        return self.map.shape[0]

    def forward(
        self, features: Float[Tensor, "n_samples n_features"]
    ) -> Float[Tensor, "n_samples n_classes"]:
        """Return the logits of raw features."""
        features = features.to(self.map.dtype)
        if self.normalize:
            features = unit(features)
        logits: Tensor = self.head((features - self.center) @ self.map)
        return logits

    def select(self, rows: Tensor, classes: Classes = None) -> "WhitenedHead":
        """Return a head of these rows, in this order."""
        inner = self.head.select(rows, classes)
        return WhitenedHead(
            inner, self.map, self.center, normalize=self.normalize, classes=classes
        )

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {
            "type": "whitened",
            "normalize": self.normalize,
            "head": self.head.spec(),
        }


@torch.no_grad()
def whitened_head(
    head: Head, map: Tensor, center: Tensor, *, normalize: bool = False
) -> Head:
    """Return a head on raw features from one on (x - center) · map.

    A linear head takes the map, and its own center, into its weight and bias and stays
    one; another head, or one that normalizes after the map, is wrapped.

    Examples
    --------
    >>> import torch
    >>> inner = LinearHead(torch.eye(2))
    >>> head = whitened_head(inner, torch.diag(torch.tensor([1.0, 2.0])), torch.ones(2))
    >>> head.weight.tolist(), head.bias.tolist()
    ([[1.0, 0.0], [0.0, 2.0]], [-1.0, -2.0])
    """
    wrapped = WhitenedHead(head, map, center, normalize=normalize)  # checks all
    if not isinstance(head, LinearHead) or head.normalize:
        return wrapped
    # In float64: the shift may be a small difference of large numbers.
    map, center = (part.double().to(head.weight.device) for part in (map, center))
    weight = head.weight.double() @ map.T
    shift = -weight @ center
    if head.center is not None:
        shift = shift - head.weight.double() @ head.center.double()
    if head.bias is not None:
        shift = shift + head.bias.double()
    dtype = head.weight.dtype
    return LinearHead(
        weight.to(dtype), shift.to(dtype), normalize=normalize, classes=head.classes
    )
