"""Deferred re-weighting: another loss for the last part of training (Cao et al.)."""

from jaxtyping import Float, Int
from torch import Tensor

from headtail.losses.checks import Number, check_between
from headtail.losses.loss import Loss

__all__ = ["DeferredReweightingLoss"]


class DeferredReweightingLoss(Loss):
    """One loss until a part of training has passed, then another.

    Re-weighting from the first step on harms the features, so `after`, the same loss
    with class weights, takes over late. A fresh module uses `before`; it learns of the
    time by `advance`, which also tells both losses.

    Parameters
    ----------
    before, after
        Losses on the same logits.
    start
        The part of training at which `after` takes over, above 0 and at most 1.

    References
    ----------
    Cao, Wei, Gaidon, Arechiga and Ma. "Learning Imbalanced Datasets with
    Label-Distribution-Aware Margin Loss." NeurIPS 2019.
    https://arxiv.org/abs/1906.07413

    Examples
    --------
    >>> import torch
    >>> from headtail.losses import CrossEntropyLoss
    >>> weighted = CrossEntropyLoss(weight=[1.0, 9.0])
    >>> loss = DeferredReweightingLoss(CrossEntropyLoss(), weighted)
    >>> logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    >>> for progress in (0.0, 0.79, 0.8):
    ...     loss.advance(progress)
    ...     print(f"{loss(logits, labels):.4f}")
    1.1269
    1.1269
    1.9269
    """

    def __init__(self, before: Loss, after: Loss, *, start: Number = 0.8) -> None:
        super().__init__()
        check_between("start", start, 0, 1, closed="right")
        self.before, self.after = before, after
        self.start = start
        self.fixed_scale = before.fixed_scale
        self._switched = False

    @property
    def switched(self) -> bool:
        """Whether `after` is in use."""
        return self._switched

    def advance(self, progress: Number) -> None:
        """Tell which part of the training has passed, 0 … 1; it may go back."""
        check_between("progress", progress, 0, 1, closed="both")
        self._switched = progress >= self.start
        self.before.advance(progress)
        self.after.advance(progress)

    def forward(
        self,
        logits: Float[Tensor, "n_samples n_classes"],
        labels: Int[Tensor, " n_samples"],
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch by the loss in use."""
        current = self.after if self._switched else self.before
        value: Tensor = current(logits, labels)
        return value
