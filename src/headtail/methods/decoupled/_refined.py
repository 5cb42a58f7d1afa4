"""What learnable weight scaling and DisAlign share: training on top of a fixed head."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from sklearn.base import MetaEstimatorMixin
from torch import Tensor

from headtail.heads import Head
from headtail.methods._base_head import fitted_base
from headtail.methods._frozen import frozen_logits
from headtail.methods._trained import TRAINING_CONSTRAINTS, TrainedClassifier
from headtail.methods.base import LinearClassifier

__all__ = ["RefinedClassifier"]


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
