"""DisAlign: a learned alignment of fixed logits towards a balanced distribution."""

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.heads import DisAlignHead, Head, align_logits
from headtail.losses import CrossEntropyLoss
from headtail.methods._constraints import Interval
from headtail.methods._training import rows_of
from headtail.methods.decoupled._formulas import log_prior
from headtail.methods.decoupled._refined import RefinedClassifier

__all__ = ["DisAlignClassifier", "reweighting"]


def reweighting(
    class_counts: Int[Tensor, " n_classes"], *, rho: float = 1.2
) -> Float[Tensor, " n_classes"]:
    """Return loss weights in proportion to prior^-rho, with sum n_classes.

    ``rho=0`` weighs all classes alike, 1 by inverse frequency.

    Examples
    --------
    >>> import torch
    >>> reweighting(torch.tensor([30, 10]), rho=1.0)
    tensor([0.5000, 1.5000], dtype=torch.float64)
    """
    return (-rho * log_prior(class_counts)).softmax(dim=0) * len(class_counts)


class DisAlignClassifier(RefinedClassifier):
    """Learn a factor and a shift per class, and how much a sample asks for them.

    The formula is that of `headtail.align_logits`: factors start at 1, shifts at 0,
    the confidence vector at 0.1. The loss weighs classes as `reweighting` does. A base
    without bias is taken as it is.

    Parameters
    ----------
    base : estimator, head, torch.nn.Linear or None
        As in `TauNormalizedClassifier`, and any head of headtail.
    rho : float
        Exponent of the loss weights, prior^-rho: 0 for equal weights.
    learning_rate : float
        At the start; it falls to 0 along a cosine.
    epochs : int
        Passes over the examples.
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
    head_ : DisAlignHead
        The aligned classifier.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Zhang et al. "Distribution Alignment: A Unified Framework for Long-Tail Visual
    Recognition." CVPR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [0.2, 1.0], [3.0, 0.0]])
    >>> DisAlignClassifier(random_state=0).fit(X, [7, 7, 9]).predict(X)
    array([7, 7, 9])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RefinedClassifier._parameter_constraints,
        "rho": [Interval(Real, 0, None, closed="left")],
    }

    head_: DisAlignHead

    def __init__(
        self,
        base: Any = None,
        *,
        rho: float = 1.2,
        learning_rate: float = 0.1,
        epochs: int = 10,
        batch_size: int = 256,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.base = base
        self.rho = rho
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
        bias = like.new_zeros(len(self.classes_)).requires_grad_()
        confidence = like.new_full((features.shape[1],), 0.1).requires_grad_()

        def aligned(rows: Tensor) -> Tensor:
            return align_logits(
                logits(rows),
                rows_of(features, rows, like),
                scale=scale,
                bias=bias,
                confidence=confidence,
            )

        weight = reweighting(torch.from_numpy(self.class_counts_), rho=float(self.rho))
        parameters = [scale, bias, confidence]
        loss = CrossEntropyLoss(weight=weight)
        self._train(features, aligned, parameters, positions, generator, loss=loss)
        return DisAlignHead(head, scale.detach(), bias.detach(), confidence.detach())
