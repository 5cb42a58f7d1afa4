"""The ensemble head: the mean of its members' probabilities."""

import copy
import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headtail.heads.head import Classes, Head

__all__ = ["EnsembleHead"]


def _common_classes(members: Sequence[Head]) -> Classes:
    """Return the members' classes, which must be the same where they have any."""
    known = [member.classes for member in members if member.classes is not None]
    if any(labels.tolist() != known[0].tolist() for labels in known):
        raise ValueError(
            "members must have the same classes in the same order; got "
            f"{[labels.tolist()[:5] for labels in known]}."
        )
    return known[0] if known else None


class EnsembleHead(Head):
    """Log of the mean of the members' softmax probabilities (CKT eq. 8).

    Parameters
    ----------
    members
        Heads over the same classes and features, at least one.
    classes
        Label of every row, if known; None for those of the members.

    Examples
    --------
    >>> import torch
    >>> from headtail.heads import LinearHead
    >>> members = [LinearHead(torch.eye(2)), LinearHead(-torch.eye(2))]
    >>> EnsembleHead(members)(torch.tensor([[1.0, 0.0]])).exp()
    tensor([[0.5000, 0.5000]], grad_fn=<ExpBackward0>)
    """

    def __init__(self, members: Sequence[Head], *, classes: Classes = None) -> None:
        super().__init__()
        if not members or not all(isinstance(member, Head) for member in members):
            raise TypeError(
                "members must be at least one head of headtail.heads; got "
                f"{[type(member).__name__ for member in members]}."
            )
        sizes = {(member.n_classes, member.n_features) for member in members}
        if len(sizes) > 1:
            raise ValueError(
                "members must have the same n_classes and n_features; got "
                f"{sorted(sizes)}."
            )
        # Copies, so that training the ensemble does not change what was passed in.
        self.members = nn.ModuleList(copy.deepcopy(member) for member in members)
        self._set_classes(_common_classes(members) if classes is None else classes)

    @property
    def n_classes(self) -> int:
        """Number of rows, one per class."""
        return self._heads()[0].n_classes

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return self._heads()[0].n_features

    def forward(
        self, features: Float[Tensor, "n_samples n_features"]
    ) -> Float[Tensor, "n_samples n_classes"]:
        """Return the log-probabilities of raw features."""
        logs = [member(features).log_softmax(dim=1) for member in self._heads()]
        total: Tensor = reduce(torch.logaddexp, logs)
        return total - math.log(len(logs))

    def select(self, rows: Tensor, classes: Classes = None) -> "EnsembleHead":
        """Return a head of these rows, in this order."""
        members = [member.select(rows, classes) for member in self._heads()]
        return EnsembleHead(members, classes=classes)

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {
            "type": "ensemble",
            "members": [member.spec() for member in self._heads()],
        }

    def _heads(self) -> list[Head]:
        return cast(list[Head], list(self.members))
