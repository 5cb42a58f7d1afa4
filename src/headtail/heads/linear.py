"""The linear head: a weight and a bias per class."""

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from headtail.heads.head import Classes, Head, checked_vector, checked_weight
from headtail.tensors import unit

__all__ = ["LinearHead"]


class LinearHead(Head):
    """Logits x·w + b of raw features.

    Parameters
    ----------
    weight, bias
        Copied, never shared: weight [n_classes, n_features], bias [n_classes] or None
        for none.
    center
        Subtracted from the features first, if given: [n_features].
    normalize
        Whether features are then scaled to unit length (a zero row stays zero).
    classes
        Label of every row, if known.

    Examples
    --------
    >>> import torch
    >>> head = LinearHead(torch.eye(2), torch.tensor([0.0, 1.0]))
    >>> head(torch.tensor([[3.0, 4.0]])).tolist()
    [[3.0, 5.0]]
    """

    center: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        center: Tensor | None = None,
        normalize: bool = False,
        classes: Classes = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(checked_weight(weight))
        self.bias: nn.Parameter | None = None
        if bias is not None:
            bias = checked_vector(bias, "bias", self.n_classes, self.weight)
            self.bias = nn.Parameter(bias)
        if center is not None:
            center = checked_vector(center, "center", self.n_features, self.weight)
        self.register_buffer("center", center)
        self.normalize = normalize
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
        features = features.to(self.weight.dtype)
        if self.center is not None:
            features = features - self.center
        if self.normalize:
            features = unit(features)
        return F.linear(features, self.weight, self.bias)

    def select(self, rows: Tensor, classes: Classes = None) -> "LinearHead":
        """Return a head of these rows, in this order."""
        return LinearHead(
            self.weight[rows],
            None if self.bias is None else self.bias[rows],
            center=self.center,
            normalize=self.normalize,
            classes=classes,
        )

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {"type": "linear", "normalize": self.normalize}
