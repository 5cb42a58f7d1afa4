"""τ-normalisation: divide each class's weight by a power of its length."""

from typing import Any, ClassVar

from torch import Tensor

from headtail.heads import Head, LinearHead
from headtail.methods.decoupled._adjusted import AdjustedClassifier
from headtail.methods.decoupled._formulas import tau_scales

__all__ = ["TauNormalizedClassifier"]


class TauNormalizedClassifier(AdjustedClassifier):
    """Give the weights of all classes more equal lengths; the bias is dropped.

    Joint training makes the weights of frequent classes long. The formula is that of
    `headtail.tau_normalize`.

    Parameters
    ----------
    base : estimator, LinearHead, torch.nn.Linear or None
        An unfitted estimator is cloned and fitted; None is ``LinearClassifier()``. A
        trained head or last layer is used as it is and never changed. Its rows match
        labels by value if it carries `classes`; otherwise row i is the i-th of the
        sorted labels in y. A centre that it subtracts stays; its bias goes.
    tau : float or "auto"
        Exponent of the length: 0 is the base without bias, 1 gives all weights length
        1. ``"auto"`` takes the best of 0, 0.1, …, 2 on held-out data.
    validation_fraction : float
        Share of the training data that ``"auto"`` holds out, class by class, where
        `fit` is given no validation data.
    random_state : int, RandomState instance or None
        Of the held-out part, and for a base that is fitted and has none of its own.
    device : str, torch.device or None
        Where the work is done; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class.
    tau_ : float
        The exponent that was used.
    selection_ : Selection or None
        What ``"auto"`` tried, on which data, and what came out.
    base_head_ : LinearHead
        The base without its bias.
    head_ : LinearHead
        The normalised classifier.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Kang et al. "Decoupling Representation and Classifier for Long-Tailed
    Recognition." ICLR 2020, section 4.

    Examples
    --------
    >>> import torch
    >>> base = torch.nn.Linear(2, 2)
    >>> _ = base.weight.data.copy_(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
    >>> clf = TauNormalizedClassifier(base, tau=1.0).fit(torch.eye(2), [0, 1])
    >>> clf.predict([[0.4, 0.5]])
    array([1])
    """

    _grid: ClassVar[tuple[float, ...]] = tuple(i / 10 for i in range(21))

    base_head_: LinearHead
    head_: LinearHead

    def __init__(
        self,
        base: Any = None,
        *,
        tau: Any = "auto",
        validation_fraction: float = 0.2,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.base = base
        self.tau = tau
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def _prepared(self, head: Head) -> Head:
        if not isinstance(head, LinearHead):
            raise TypeError(
                "The base of τ-normalisation must have a linear head, since in "
                f"{type(head).__name__} the lengths of weights say nothing. Use "
                "LinearClassifier(), a LinearHead or a torch.nn.Linear."
            )
        return LinearHead(
            head.weight,
            center=head.center,
            normalize=head.normalize,
            classes=head.classes,
        )

    def _factors(self, tau: float) -> tuple[Tensor | None, Tensor | None]:
        return tau_scales(self.base_head_.weight.detach(), tau), None
