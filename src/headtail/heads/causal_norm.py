"""The causal-norm head: normalised logits without the common direction of features."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headtail.heads.head import Classes, Head, checked_vector, checked_weight
from headtail.tensors import unit

__all__ = ["CausalNormHead", "causal_norm_logits"]

# Of the authors' code: the scale, shared by the chunks, and what is added to a
# weight's length.
_SCALE = 16.0
_GAMMA = 1 / 32


def causal_norm_logits(
    features: Float[Tensor, "n_samples n_features"],
    weight: Float[Tensor, "n_classes n_features"],
    *,
    n_chunks: int = 2,
    direction: Float[Tensor, " n_features"] | None = None,
    alpha: float = 0.0,
) -> Float[Tensor, "n_samples n_classes"]:
    """Return (16 / K)·Σ_k w_k·(x̂_k - alpha·cos(x_k, d_k)·d̂_k) / (‖w_k‖ + 1/32).

    k runs over K chunks of the features. ``alpha=0`` gives the logits of training; a
    larger one takes out more of the part that points along `direction`, the mean
    direction of training features, which speaks for the head classes.

    References
    ----------
    Tang, Huang, Zhang. "Long-Tailed Classification by Keeping the Good and Removing
    the Bad Momentum Causal Effect." NeurIPS 2020, equations 7 and 9.

    Examples
    --------
    >>> import torch
    >>> x, w, d = torch.tensor([[0.6, 0.8]]), torch.eye(2), torch.tensor([1.0, 0.0])
    >>> causal_norm_logits(x, w, n_chunks=1, direction=d, alpha=1.0)
    tensor([[ 0.0000, 12.4121]])
    """
    x = unit(features.reshape(len(features), n_chunks, -1))
    if direction is not None and alpha != 0:
        d = unit(direction.reshape(n_chunks, -1))
        cosine = (x * d).sum(dim=2, keepdim=True)  # [n_samples, n_chunks, 1]
        x = x - alpha * cosine * d
    w = weight.reshape(len(weight), n_chunks, -1)
    w = w / (torch.linalg.vector_norm(w, dim=2, keepdim=True) + _GAMMA)
    logits: Tensor = x.flatten(1) @ w.flatten(1).T
    return _SCALE / n_chunks * logits


class CausalNormHead(Head):
    """The logits of `causal_norm_logits`.

    Parameters
    ----------
    weight
        Copied, never shared: [n_classes, n_features].
    direction
        Mean direction of the training features: [n_features].
    n_chunks
        Parts that a feature vector is cut into; divides n_features.
    alpha
        How much of the direction is taken out; 0 for nothing.
    classes
        Label of every row, if known.
    """

    direction: Tensor

    def __init__(
        self,
        weight: Tensor,
        direction: Tensor,
        *,
        n_chunks: int = 2,
        alpha: float = 1.5,
        classes: Classes = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(checked_weight(weight))
        whole = isinstance(n_chunks, int) and not isinstance(n_chunks, bool)
        if not whole or n_chunks < 1 or self.n_features % n_chunks:
            raise ValueError(
                f"n_chunks must divide n_features ({self.n_features}); got {n_chunks}."
            )
        self.register_buffer(
            "direction",
            checked_vector(direction, "direction", self.n_features, self.weight),
        )
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha must be at least 0 and finite; got {alpha}.")
        self.n_chunks = n_chunks
        self.alpha = float(alpha)
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
        return causal_norm_logits(
            features.to(self.weight.dtype),
            self.weight,
            n_chunks=self.n_chunks,
            direction=self.direction,
            alpha=self.alpha,
        )

    def select(self, rows: Tensor, classes: Classes = None) -> "CausalNormHead":
        """Return a head of these rows, in this order."""
        return CausalNormHead(
            self.weight[rows],
            self.direction,
            n_chunks=self.n_chunks,
            alpha=self.alpha,
            classes=classes,
        )

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {"type": "causal-norm", "n_chunks": self.n_chunks, "alpha": self.alpha}
