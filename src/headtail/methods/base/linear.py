"""The linear base classifier: a dot-product head trained on features."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from headtail.heads import LinearHead
from headtail.losses import LOSSES
from headtail.methods._constraints import StrOptions
from headtail.methods._trained import TRAINING_CONSTRAINTS, TrainedClassifier
from headtail.methods._training import Optimizer, feature_moments, rows_of
from headtail.samplers import Sampling

__all__ = ["LinearClassifier", "train_linear_head"]

# The constant input that the bias is learned on, as `intercept_scaling` of LIBLINEAR:
# features have total variance 1 here, and a bias on 1 would lag behind the weights.
_BIAS_INPUT = 7.0


class LinearClassifier(TrainedClassifier):
    """Train a linear head on features, by cross-entropy or a loss made for long tails.

    The features are centred and divided by one number (the root of their total
    variance) while training, so that one learning rate suits all data. The head takes
    raw features: it subtracts the centre itself.

    Parameters
    ----------
    sampling : str
        Which examples an epoch shows: ``"instance"``, ``"sqrt"``, ``"class"``,
        ``"progressive"``, ``"class-aware"``, ``"reversed"``, ``"over"`` or
        ``"under"``, see `headtail.samplers.draw_epochs`.
    loss : str
        ``"cross-entropy"``, ``"class-weighted"``, ``"focal"``, ``"class-balanced"``,
        ``"class-balanced-focal"``, ``"balanced-softmax"``, ``"logit-adjusted"`` or
        ``"lade"``, see `headtail.losses`.
    loss_options : dict or None
        Keyword arguments of the loss, such as ``{"gamma": 1.0}`` for ``"focal"``.
    optimizer : {"sgd", "adamw"}
        SGD has Nesterov momentum 0.9. AdamW wants a learning rate near 0.01.
    learning_rate : float
        At the start; it falls to 0 along a cosine.
    weight_decay : float
        On the weight alone, in the scaled space.
    epochs : int
        Passes over as many examples as there are; ``"over"`` and ``"under"`` have
        epochs of their own length.
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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TRAINING_CONSTRAINTS,
        "loss": [StrOptions(set(LOSSES))],
    }

    head_: LinearHead

    def __init__(
        self,
        sampling: Sampling = "instance",
        *,
        loss: str = "cross-entropy",
        loss_options: Mapping[str, Any] | None = None,
        optimizer: Optimizer = "sgd",
        learning_rate: float = 20.0,
        weight_decay: float = 1e-5,
        epochs: int = 30,
        batch_size: int = 128,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.sampling = sampling
        self.loss = loss
        self.loss_options = loss_options
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
        if self._build_loss().fixed_scale is not None:
            raise ValueError(
                f"loss must be one for dot products; got {self.loss!r}, whose margins "
                f"are differences of cosines. Use CosineClassifier(loss={self.loss!r})."
            )
        self.head_ = train_linear_head(self, features, positions, generator)


def train_linear_head(
    estimator: TrainedClassifier,
    features: Tensor,
    positions: Tensor,
    generator: torch.Generator,
) -> LinearHead:
    """Train weight and bias from zero with the settings of the estimator."""
    mean, spread = feature_moments(features)
    spread = spread if spread > 0 else 1.0
    classes = estimator.classes_
    weight = estimator._leaf(torch.zeros(len(classes), features.shape[1]), features)
    bias = estimator._leaf(torch.zeros(len(classes)), features)
    center = mean.to(weight)

    def logits(rows: Tensor) -> Tensor:
        # The rows are a copy, and so they are changed in place.
        batch = rows_of(features, rows, weight).sub_(center).div_(spread)
        return F.linear(batch, weight, _BIAS_INPUT * bias)

    estimator._train(features, logits, [weight, bias], positions, generator)
    return LinearHead(
        weight.detach() / spread,
        _BIAS_INPUT * bias.detach(),
        center=center,
        classes=classes,
    )
