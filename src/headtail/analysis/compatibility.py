"""Whether prototypes and learned weights of the same classes point the same way."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.tensors import as_tensor, row_blocks, shown, unit

__all__ = ["PrototypeWeightMatch", "prototype_weight_match"]


@dataclass(frozen=True, eq=False)
class PrototypeWeightMatch:
    """One entry per class, in the order of the rows, and what they come to.

    Attributes
    ----------
    compared
        Classes that have both a prototype and a weight: [n_classes].
    nearest
        Position of the weight that is nearest to the prototype, the own one if it is
        as near as any: [n_classes]; -1 for a class that is not compared.
    mismatched
        Whether that is another class's weight: [n_classes]; False where not compared.
    own_similarity
        Cosine of the prototype and the own weight, [n_classes]; NaN where not compared.
    n_compared, n_mismatched
        Number of classes in `compared` and in `mismatched`.
    sharpness
        Mean over the compared classes of the cosines of a prototype to all weights,
        sorted from the largest: [n_classes]. It falls fast if a prototype has few
        weights near it. Ends in NaN if classes have no weight.
    """

    compared: npt.NDArray[np.bool_]
    nearest: npt.NDArray[np.int64]
    mismatched: npt.NDArray[np.bool_]
    own_similarity: npt.NDArray[np.float64]
    n_compared: int
    n_mismatched: int
    sharpness: npt.NDArray[np.float64]


def prototype_weight_match(prototypes: Any, weight: Any) -> PrototypeWeightMatch:
    """Look for each prototype's nearest weight, by cosine.

    Knowledge transfer asks with prototypes and is answered by weights: a prototype
    that is not nearest to its own class's weight asks the wrong class first.

    Parameters
    ----------
    prototypes
        A vector per class, [n_classes, n_features], of any length. A row of NaN or of
        zeros is a class without prototype.
    weight
        Of the classifier, row i of the same class as row i of `prototypes`. A row of
        zeros is a class without weight: it is nobody's nearest.

    Raises
    ------
    ValueError
        If the shapes differ, or a weight, or a part of a prototype, is not finite.
    TypeError
        If either is not of floating-point numbers.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022, supplement, table 3 and figure 4.

    Examples
    --------
    >>> prototypes = np.array([[1.0, 0.0], [0.9, 0.3]])
    >>> match = prototype_weight_match(prototypes, np.eye(2))
    >>> match.mismatched, match.sharpness.round(2)  # the second is near weight 0
    (array([False,  True]), array([0.97, 0.16]))
    """
    asking, keys = as_tensor(prototypes), as_tensor(weight)
    _check(asking, keys)
    keys = keys.to(torch.promote_types(keys.dtype, torch.float32))
    asking = asking.to(keys.device)
    directions = unit(torch.nan_to_num(asking)).to(keys.dtype)
    keys = unit(keys)
    given = keys.any(dim=1)
    compared = (directions.any(dim=1) & given).nonzero().flatten()
    n_classes, n_given = len(keys), int(given.sum())
    keys, column = keys[given], given.cumsum(0) - 1
    nearest, own = torch.full_like(column, -1), keys.new_full((n_classes,), torch.nan)
    sums = keys.new_zeros(n_given, dtype=torch.float64)
    for block in row_blocks(len(compared), max(keys.shape)):
        rows = compared[block]
        cosines = directions[rows] @ keys.T  # [n_rows, n_given]
        own[rows] = cosines.gather(1, column[rows, None])[:, 0]
        best = cosines.max(dim=1)
        other = given.nonzero().flatten()[best.indices]
        nearest[rows] = torch.where(best.values > own[rows], other, rows)
        sums += cosines.sort(dim=1, descending=True).values.sum(0, dtype=torch.float64)
    every = torch.arange(n_classes, device=keys.device)
    mismatched = (nearest >= 0) & (nearest != every)
    sharpness = np.full(n_classes, np.nan)
    if len(compared):
        sharpness[:n_given] = (sums / len(compared)).cpu().numpy()
    mask = np.zeros(n_classes, dtype=bool)
    mask[compared.cpu().numpy()] = True
    return PrototypeWeightMatch(
        compared=mask,
        nearest=nearest.cpu().numpy(),
        mismatched=mismatched.cpu().numpy(),
        own_similarity=own.double().cpu().numpy(),
        n_compared=len(compared),
        n_mismatched=int(mismatched.sum()),
        sharpness=sharpness,
    )


def _check(prototypes: Tensor, weight: Tensor) -> None:
    for name, given in ("prototypes", prototypes), ("weight", weight):
        if not given.is_floating_point():
            raise TypeError(
                f"{name} must be floating-point numbers; got {given.dtype}."
            )
    if prototypes.ndim != 2 or prototypes.shape != weight.shape or 0 in weight.shape:
        raise ValueError(
            "prototypes and weight must have the same shape [n_classes, n_features]; "
            f"got {list(prototypes.shape)} and {list(weight.shape)}. Select the rows "
            "of the same classes from both."
        )
    finite = torch.isfinite(weight).all(dim=1)
    missing = torch.isnan(prototypes).all(dim=1)
    known = torch.isfinite(prototypes).all(dim=1) | missing
    for name, fine in ("weight", finite), ("prototypes", known):
        if not fine.all():
            rows = (~fine).nonzero().flatten().tolist()
            also = " or all NaN" if name == "prototypes" else ""
            raise ValueError(
                f"Rows of {name} must be finite{also}; rows {shown(rows)} are not. "
                "Compute them again."
            )
