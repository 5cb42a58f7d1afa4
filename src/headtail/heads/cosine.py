"""The cosine head: the angle between features and a direction per class."""

from typing import Any, SupportsFloat

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from headtail.heads.head import Classes, Head, checked_weight
from headtail.tensors import unit

__all__ = ["CosineHead"]


class CosineHead(Head):
    """Logits s · cos(x, w): only directions matter (CKT eq. 2).

    Parameters
    ----------
    weight
        Copied, never shared: [n_classes, n_features]. A row of zeros has cosine 0
        with everything.
    scale
        The factor s, positive; a number or a tensor with one entry.
    classes
        Label of every row, if known.

    Examples
    --------
    >>> import torch
    >>> head = CosineHead(torch.eye(2), 10.0)
    >>> head(torch.tensor([[3.0, 4.0], [30.0, 40.0]])).tolist()
    [[6.0, 8.0], [6.0, 8.0]]
    """

    def __init__(
        self,
        weight: Tensor,
        scale: SupportsFloat = 16.0,
        *,
        classes: Classes = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(checked_weight(weight))
        factor = torch.as_tensor(scale).detach().to(self.weight)
        if factor.numel() != 1 or not (torch.isfinite(factor).all() and factor > 0):
            raise ValueError(
                f"scale must be one positive number; got {factor.tolist()}."
            )
        self.scale = nn.Parameter(factor.reshape(()).clone())
        self._set_classes(classes)

    @property
    def n_classes(self) -> int:
        """Number of rows, one per class."""
        return self.weight.shape[0]

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return self.weight.shape[1]

    def forward(
        self, features: Float[Tensor, "n_samples n_features"]
    ) -> Float[Tensor, "n_samples n_classes"]:
        """Return the logits of raw features."""
        features = unit(features.to(self.weight.dtype))
        return F.linear(features, self.scale * unit(self.weight))

    def select(self, rows: Tensor, classes: Classes = None) -> "CosineHead":
        """Return a head of these rows, in this order."""
        return CosineHead(self.weight[rows], self.scale, classes=classes)

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {"type": "cosine"}
