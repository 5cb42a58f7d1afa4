"""Causal norm: train normalised logits, then take out the features' mean direction."""

import copy
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from headtail.heads import CausalNormHead, causal_norm_logits
from headtail.methods._constraints import Interval
from headtail.methods._trained import TRAINING_CONSTRAINTS, TrainedClassifier
from headtail.methods._training import rows_of

__all__ = ["CausalNormClassifier"]

# How much of the running mean of the features stays in every step.
_MOMENTUM = 0.9


class CausalNormClassifier(TrainedClassifier):
    """Train multi-head normalised logits and remove the momentum effect (TDE).

    The formula is that of `headtail.causal_norm_logits`; there is no bias. While it
    trains, a running mean of the features is kept; its direction is that which the
    head classes pull to.

    Parameters
    ----------
    alpha : float
        How much of the mean direction is taken out of a sample; 0 for nothing.
    n_chunks : int or None
        Parts that a feature vector is cut into (the paper's heads); it must divide the
        number of features. None is 2, and 1 for an odd number of features.
    learning_rate : float
        At the start; it falls to 0 along a cosine.
    weight_decay : float
        On the weight.
    epochs : int
        Passes over the examples.
    batch_size : int
        At most; small data sets get batches of a 32nd.
    random_state : int, RandomState instance or None
        Makes the first weight and the draws repeatable.
    device : str, torch.device or None
        Where to train; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class.
    head_ : CausalNormHead
        The trained head, on raw features.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Tang, Huang, Zhang. "Long-Tailed Classification by Keeping the Good and Removing
    the Bad Momentum Causal Effect." NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [0.2, 1.0], [3.0, 0.0], [3.0, 0.1]])
    >>> clf = CausalNormClassifier(alpha=0.5, n_chunks=1, random_state=0)
    >>> clf.fit(X, [7, 7, 9, 9]).predict(X)
    array([7, 7, 9, 9])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{
            key: value
            for key, value in TRAINING_CONSTRAINTS.items()
            if key not in ("sampling", "loss_options", "optimizer")
        },
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_chunks": [Interval(Integral, 1, None, closed="left"), None],
    }
    _adjustable = frozenset({"alpha"})

    head_: CausalNormHead

    def __init__(
        self,
        alpha: float = 1.5,
        *,
        n_chunks: int | None = None,
        learning_rate: float = 0.1,
        weight_decay: float = 5e-4,
        epochs: int = 30,
        batch_size: int = 128,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.alpha = alpha
        self.n_chunks = n_chunks
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device

    def _fit_head(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> None:
        n_features = features.shape[1]
        n_chunks = self.n_chunks or (1 if n_features % 2 else 2)
        if n_features % n_chunks:
            raise ValueError(
                f"n_chunks must divide the {n_features} features; got {n_chunks}."
            )
        start = torch.rand(len(self.classes_), n_features, generator=generator)
        start = (2 * start - 1) / math.sqrt(n_features)
        weight = self._leaf(start, features)
        direction = torch.zeros_like(weight[0]).detach()

        def logits(rows: Tensor) -> Tensor:
            batch = rows_of(features, rows, weight)
            direction.mul_(_MOMENTUM).add_(batch.mean(dim=0))
            return causal_norm_logits(batch, weight, n_chunks=n_chunks)

        self._train(features, logits, [weight], positions, generator)
        self.head_ = CausalNormHead(
            weight,
            direction,
            n_chunks=int(n_chunks),
            alpha=self.alpha,
            classes=self.classes_,
        )

    def _adjusted_to(self, candidate: Mapping[str, Any]) -> "CausalNormClassifier":
        other = copy.copy(self).set_params(**candidate)
        old = self.head_
        other.head_ = CausalNormHead(
            old.weight,
            old.direction,
            n_chunks=old.n_chunks,
            alpha=other.alpha,
            classes=old.classes,
        )
        return other
