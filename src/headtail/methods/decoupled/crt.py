"""Classifier re-training: a new linear classifier on class-balanced samples."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from headtail.heads import LinearHead
from headtail.methods._trained import TRAINING_CONSTRAINTS, TrainedClassifier
from headtail.methods.base.linear import train_linear_head
from headtail.samplers import Sampling

__all__ = ["RetrainedClassifier"]


class RetrainedClassifier(TrainedClassifier):
    """Forget the classifier and train a new one, every class as often as any (cRT).

    It is trained as in `LinearClassifier`, from zero: so it has no base.

    Parameters
    ----------
    sampling : str
        Which examples an epoch shows, as in `LinearClassifier`.
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

    References
    ----------
    Kang et al. "Decoupling Representation and Classifier for Long-Tailed
    Recognition." ICLR 2020, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [0.2, 1.0], [3.0, 0.0]])
    >>> RetrainedClassifier(epochs=50, random_state=0).fit(X, [7, 7, 9]).predict(X)
    array([7, 7, 9])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        key: value
        for key, value in TRAINING_CONSTRAINTS.items()
        if key not in ("loss_options", "optimizer")
    }

    head_: LinearHead

    def __init__(
        self,
        sampling: Sampling = "class-aware",
        *,
        learning_rate: float = 2.0,
        weight_decay: float = 1e-5,
        epochs: int = 10,
        batch_size: int = 512,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.sampling = sampling
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device

    def _fit_head(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> None:
        self.head_ = train_linear_head(self, features, positions, generator)
