"""What learnable weight scaling and DisAlign share: training on top of a fixed head."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from sklearn.base import MetaEstimatorMixin
from torch import Tensor

from headtail.heads import Head
from headtail.methods._base_head import fitted_base
from headtail.methods._trained import TRAINING_CONSTRAINTS, TrainedClassifier
from headtail.methods._training import rows_of
from headtail.methods.base import LinearClassifier
from headtail.tensors import row_blocks

__all__ = ["RefinedClassifier", "frozen_logits"]

# Above this many logits (4 GB of float32) each batch computes its own.
_MOST_FROZEN = 2**30


class RefinedClassifier(MetaEstimatorMixin, TrainedClassifier):
    """Base of the classifiers that learn a few numbers per class on fixed logits."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "base": "no_validation",
        **{
            key: TRAINING_CONSTRAINTS[key]
            for key in (
                "learning_rate",
                "epochs",
                "batch_size",
                "random_state",
                "device",
            )
        },
    }
    base: Any

    def _fit_head(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> None:
        head = fitted_base(self, LinearClassifier(), features, positions)
        logits = frozen_logits(head, features)
        self.head_ = self._refine(head, logits, features, positions, generator)

    @abstractmethod
    def _refine(
        self,
        head: Head,
        logits: Callable[[Tensor], Tensor],
        features: Tensor,
        positions: Tensor,
        generator: torch.Generator,
    ) -> Head:
        """Train on the fixed logits of batches; return what comes on top of `head`."""


def frozen_logits(head: Head, features: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from indices of examples to their logits, computed once."""
    like = next(head.parameters())

    @torch.no_grad()
    def of_rows(rows: Tensor) -> Tensor:
        logits: Tensor = head(rows_of(features, rows, like))
        return logits

    n_samples = len(features)
    if n_samples * head.n_classes > _MOST_FROZEN:
        return of_rows
    logits = torch.empty(
        n_samples, head.n_classes, device=like.device, dtype=like.dtype
    )
    every = torch.arange(n_samples)
    for rows in row_blocks(n_samples, max(head.n_features, head.n_classes)):
        logits[rows] = of_rows(every[rows])
    return lambda rows: logits[rows.to(logits.device)]
