"""A classifier that attends to donors, seen as vectors of one space."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from headtail.heads import CosineHead, EnsembleHead, Head, LinearHead
from headtail.methods.transfer import (
    CompositionalClassifier,
    CountAwareTransferClassifier,
    attend,
)
from headtail.tensors import row_blocks, unit

__all__ = ["Composed", "composed_of"]


@dataclass(frozen=True, eq=False)
class Composed:
    """What a composing classifier is made of, as unit vectors of the space it works in.

    Attributes
    ----------
    prototypes, weight
        Directions per class, [n_classes, n_features]; the weight of a class without a
        trained one is 0.
    finals
        Directions of the composed weights, one tensor per member.
    queries, keys
        What asks and what is asked, [n_classes, n_features].
    receivers
        Positions of the classes that take anything.
    donors
        Classes that give, one mask of n_classes per member that transfers.
    temperature
        Multiplies the cosine in the attention.
    directions
        From raw features to unit vectors of the space.
    """

    prototypes: Tensor
    weight: Tensor
    finals: tuple[Tensor, ...]
    queries: Tensor
    keys: Tensor
    receivers: npt.NDArray[np.int64]
    donors: tuple[npt.NDArray[np.bool_], ...]
    temperature: float
    directions: Callable[[Tensor], Tensor]

    def shares(self, receivers: npt.NDArray[np.int64]) -> Iterator[Tensor]:
        """Yield, in blocks of receivers, the mean share of every class, [n, n_classes].

        The mean is over the members that transfer, each of which has equal weight.
        """
        n_classes = len(self.keys)
        chosen = torch.from_numpy(receivers)
        for rows in row_blocks(len(receivers), n_classes):
            queries = self.queries[chosen[rows]]
            total = queries.new_zeros(len(queries), n_classes)
            for mask in self.donors:
                given = torch.from_numpy(mask.nonzero()[0])
                total[:, given] += attend(
                    queries, self.keys[given], temperature=self.temperature
                )
            yield total / len(self.donors)


@torch.no_grad()
def composed_of(classifier: Any) -> Composed | None:
    """Return a fitted classifier as vectors; None if it attends to no donor."""
    if isinstance(classifier, CompositionalClassifier):
        check_is_fitted(classifier)
        return _compositional(classifier)
    if isinstance(classifier, CountAwareTransferClassifier):
        check_is_fitted(classifier)
        return _count_aware(classifier)
    return None


def _compositional(classifier: CompositionalClassifier) -> Composed | None:
    prototypes = unit(classifier.statistics_.prototypes).float().cpu()
    weight = unit(classifier.base_head_.weight.detach()).float().cpu()
    trained = torch.from_numpy(classifier.trained_counts_ > 0)
    asking, giving = str(classifier.attention).split("-to-")
    queries = prototypes if asking == "prototype" else weight
    donors = tuple(
        classifier.trained_counts_ > member
        for member in classifier.donors_
        if not isinstance(member, str)
    )
    if not donors:
        return None
    return Composed(
        prototypes=prototypes,
        weight=weight,
        finals=_directions(classifier.head_),
        # A class without a trained weight asks with its prototype.
        queries=torch.where(trained[:, None], queries, prototypes),
        keys=prototypes if giving == "prototype" else weight,
        receivers=np.arange(len(weight)),
        donors=donors,
        temperature=float(classifier.temperature),
        directions=lambda features: unit(features.float()),
    )


def _count_aware(classifier: CountAwareTransferClassifier) -> Composed | None:
    mixture = classifier.mixture_
    head: Head = classifier.head_.head  # type: ignore[assignment]
    # A class that was added is composed whatever the others are.
    takes = classifier.trained_counts_ == 0
    if mixture["members"] != "linear" and mixture["transfer"] > 0:
        takes = np.ones_like(takes)
    if not takes.any():
        return None
    map, center = (
        torch.from_numpy(part).float() for part in (classifier.map_, classifier.center_)
    )
    prototypes = classifier.statistics_.prototypes.float().cpu()
    weight = unit(torch.from_numpy(classifier.weight_).float())
    prototypes = unit((prototypes - center) @ map)
    return Composed(
        prototypes=prototypes,
        weight=weight,
        # The linear member, if there is one, comes first.
        finals=_directions(head)[-1:],
        queries=prototypes,
        keys=weight,
        receivers=takes.nonzero()[0],
        donors=(classifier.trained_counts_ > mixture["donors"],),
        temperature=float(mixture["temperature"]),
        directions=lambda features: unit((unit(features.float()) - center) @ map),
    )


def _directions(head: Head) -> tuple[Tensor, ...]:
    """Return the unit rows of every member of a head."""
    members = list(head.members) if isinstance(head, EnsembleHead) else [head]
    return tuple(
        unit(member.weight.detach()).float().cpu()
        for member in members
        if isinstance(member, LinearHead | CosineHead)
    )
