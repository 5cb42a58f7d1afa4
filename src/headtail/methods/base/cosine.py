"""The cosine base classifier: a cosine head trained on features."""

from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from headtail.heads import CosineHead
from headtail.losses import LOSSES
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._estimator import check_directions
from headtail.methods._trained import TRAINING_CONSTRAINTS, TrainedClassifier
from headtail.methods._training import Optimizer, rows_of
from headtail.samplers import Sampling
from headtail.tensors import row_blocks, unit

__all__ = ["CosineClassifier"]


class CosineClassifier(TrainedClassifier):
    """Train a cosine head s · cos(x, w) by cross-entropy on features (CKT eq. 2).

    Only the directions of the features matter, and a class cannot win by a longer
    weight: the base that compositional knowledge transfer wants. The rows of the weight
    are put back to length 1 after every step.

    Parameters
    ----------
    sampling : str
        Which examples an epoch shows, as in `LinearClassifier`.
    scale : float
        Where the learnable factor s starts.
    loss : str
        As in `LinearClassifier`, or ``"ldam"`` and ``"ldam-drw"``: their margins fix
        the factor at a scale of their own, 30.
    loss_options : dict or None
        Keyword arguments of the loss, such as ``{"max_margin": 0.3}`` for ``"ldam"``.
    optimizer : {"sgd", "adamw"}
        SGD has Nesterov momentum 0.9. AdamW wants a learning rate near 0.01.
    learning_rate : float
        At the start; it falls to 0 along a cosine.
    epochs : int
        Passes over as many examples as there are.
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
    head_ : CosineHead
        The trained head, on raw features.
    n_features_in_ : int
        Number of features seen during `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [0.2, 1.0], [3.0, 0.0], [3.0, 0.1]])
    >>> CosineClassifier(random_state=0).fit(X, [7, 7, 9, 9]).predict(10 * X)
    array([7, 7, 9, 9])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{k: v for k, v in TRAINING_CONSTRAINTS.items() if k != "weight_decay"},
        "scale": [Interval(Real, 0, None, closed="neither")],
        "loss": [StrOptions(set(LOSSES))],
    }

    head_: CosineHead

    def __init__(
        self,
        sampling: Sampling = "sqrt",
        scale: float = 16.0,
        *,
        loss: str = "cross-entropy",
        loss_options: Mapping[str, Any] | None = None,
        optimizer: Optimizer = "sgd",
        learning_rate: float = 0.1,
        epochs: int = 30,
        batch_size: int = 128,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.sampling = sampling
        self.scale = scale
        self.loss = loss
        self.loss_options = loss_options
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device

    def _fit_head(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> None:
        directed = torch.cat(
            [(features[rows] != 0).any(dim=1) for rows in row_blocks(*features.shape)]
        )
        n_directed = positions[directed.cpu()].bincount(minlength=len(self.classes_))
        check_directions(n_directed, self.classes_)
        start = torch.randn(len(self.classes_), features.shape[1], generator=generator)
        weight = self._leaf(unit(start), features)
        loss = self._build_loss()
        fixed = loss.fixed_scale
        first = float(self.scale if fixed is None else fixed)
        scale = self._leaf(torch.tensor(first), features).requires_grad_(fixed is None)

        def logits(rows: Tensor) -> Tensor:
            batch = unit(rows_of(features, rows, weight))
            return F.linear(batch, scale * unit(weight))

        def back_to_length_one() -> None:
            weight.copy_(unit(weight))

        # Only directions count, but a row that grows turns ever more slowly.
        self._train(
            features,
            logits,
            [weight, scale] if fixed is None else [weight],
            positions,
            generator,
            loss=loss,
            after_step=back_to_length_one,
        )
        # The scale has no sign of its own: a negative one would turn every row around.
        self.head_ = CosineHead(
            weight * scale.sign(), scale.abs(), classes=self.classes_
        )
