"""Learnable weight scaling: one factor per class on a fixed classifier."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from headtail.heads import Head, affine_head
from headtail.methods.decoupled._refined import RefinedClassifier
from headtail.samplers import Sampling

__all__ = ["WeightScaledClassifier"]


class WeightScaledClassifier(RefinedClassifier):
    """Learn how long each class's weight should be, and leave its direction (LWS).

    The logit s[c] · (w[c]·x + b[c]) has one learnable factor s[c], which starts at 1;
    classes are sampled class-aware. The bias is scaled too; a base without bias stays
    without.

    Parameters
    ----------
    base : estimator, head, torch.nn.Linear or None
        As in `TauNormalizedClassifier`, and any head of headtail.
    learning_rate : float
        At the start; it falls to 0 along a cosine.
    epochs : int
        Passes over as many examples as there are.
    batch_size : int
        At most; small data sets get batches of a 32nd.
    random_state : int, RandomState instance or None
        Makes the draws repeatable, and is for a base that is fitted and has none.
    device : str, torch.device or None
        Where to train; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class.
    scales_ : ndarray of shape (n_classes,)
        The learned factors.
    head_ : LinearHead or AffineHead
        The scaled classifier; a LinearHead if the base is one.
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
    >>> clf = WeightScaledClassifier(random_state=0).fit(X, [7, 7, 9])
    >>> clf.predict(X)
    array([7, 7, 9])
    """

    _saved = ("scales_",)

    sampling: Sampling = "class-aware"

    def __init__(
        self,
        base: Any = None,
        *,
        learning_rate: float = 0.2,
        epochs: int = 5,
        batch_size: int = 512,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.base = base
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device

    def _refine(
        self,
        head: Head,
        logits: Callable[[Tensor], Tensor],
        features: Tensor,
        positions: Tensor,
        generator: torch.Generator,
    ) -> Head:
        like = next(head.parameters()).detach()
        scale = like.new_ones(len(self.classes_)).requires_grad_()
        self._train(
            features, lambda rows: scale * logits(rows), [scale], positions, generator
        )
        self.scales_ = scale.detach().cpu().numpy()
        return affine_head(head, scale=scale.detach())
