"""The linear base classifier: a dot-product head trained on features."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from headtail.heads import LinearHead
from headtail.methods._training import Optimizer, feature_moments
from headtail.methods.base._trained import TrainedClassifier
from headtail.samplers import Sampling

__all__ = ["LinearClassifier"]

# The constant input that the bias is learned on, as `intercept_scaling` of LIBLINEAR:
# features have total variance 1 here, and a bias on 1 would lag behind the weights.
_BIAS_INPUT = 7.0


class LinearClassifier(TrainedClassifier):
    """Train a linear head by cross-entropy on features.

    The features are centred and divided by one number (the root of their total
    variance) while training, and the head takes raw features again: so one learning
    rate suits all data.

    Parameters
    ----------
    sampling : {"instance", "sqrt", "class", "progressive", "class-aware"}
        Which examples an epoch shows, see `headtail.samplers.draw_epochs`.
    optimizer : {"sgd", "adamw"}
        SGD has Nesterov momentum 0.9. AdamW wants a learning rate near 0.01.
    learning_rate : float
        At the start; it falls to 0 along a cosine.
    weight_decay : float
        On the weight alone, in the scaled space.
    epochs : int
        Passes over as many examples as there are.
    batch_size : int
        At most; small data sets get batches of a 32nd.
    random_state : int, RandomState instance or None
        Makes the draws repeatable.
    device : str, torch.device or None
        Where to train; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class.
    head_ : LinearHead
        The trained head, on raw features.
    n_features_in_ : int
        Number of features seen during `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [0.2, 1.0], [3.0, 0.0], [3.0, 0.1]])
    >>> LinearClassifier(random_state=0).fit(X, ["a", "a", "b", "b"]).predict(X)
    array(['a', 'a', 'b', 'b'], dtype='<U1')
    """

    head_: LinearHead

    def __init__(
        self,
        sampling: Sampling = "instance",
        *,
        optimizer: Optimizer = "sgd",
        learning_rate: float = 20.0,
        weight_decay: float = 1e-5,
        epochs: int = 30,
        batch_size: int = 128,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.sampling = sampling
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device

    def _fit_head(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> None:
        mean, spread = feature_moments(features)
        spread = spread if spread > 0 else 1.0
        n_classes, n_features = len(self.classes_), features.shape[1]
        weight = self._leaf(torch.zeros(n_classes, n_features), features)
        bias = self._leaf(torch.zeros(n_classes), features)
        center = mean.to(weight)

        def logits(batch: Tensor) -> Tensor:
            return F.linear((batch - center) / spread, weight, _BIAS_INPUT * bias)

        self._train(
            logits,
            [weight, bias],
            features,
            positions,
            generator,
            weight_decay=self.weight_decay,
        )
        raw = weight.detach().double() / spread
        shift = _BIAS_INPUT * bias.detach().double() - raw @ mean.to(raw)
        self.head_ = LinearHead(
            raw.to(weight.dtype), shift.to(weight.dtype), classes=self.classes_
        )
