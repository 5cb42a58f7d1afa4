"""The formulas of compositional knowledge transfer, equations 4 to 7 and 9."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headtail.tensors import row_blocks, unit

__all__ = ["Attention", "attend", "compose", "roles", "shares_of", "transfer"]

# Shares of one block of queries: 128 MB of float32.
_SHARES_AT_ONCE = 2**25

Attention = Literal[
    "prototype-to-weight",
    "weight-to-prototype",
    "weight-to-weight",
    "prototype-to-prototype",
]


def attend(
    queries: Float[Tensor, "n_queries n_features"],
    keys: Float[Tensor, "n_donors n_features"],
    *,
    temperature: float = 10.0,
) -> Float[Tensor, "n_queries n_donors"]:
    """Return the shares of the donors, softmax of temperature · cosine (CKT eq. 5).

    The temperature multiplies: 0 gives every donor the same share, a large one gives
    all to the nearest.

    Examples
    --------
    >>> import torch
    >>> attend(torch.tensor([[1.0, 0.0]]), torch.eye(2), temperature=2.0)
    tensor([[0.8808, 0.1192]])
    """
    return shares_of(unit(queries), unit(keys), temperature)


def shares_of(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the shares where queries and keys are unit vectors already."""
    return (temperature * queries @ keys.T).softmax(dim=1)


def transfer(
    queries: Float[Tensor, "n_queries n_features"],
    keys: Float[Tensor, "n_donors n_features"],
    values: Float[Tensor, "n_donors n_features"],
    *,
    temperature: float = 10.0,
) -> Float[Tensor, "n_queries n_features"]:
    """Return what every query receives, Σ share · unit value (CKT eq. 4).

    Works in blocks of queries: an array of all shares never comes into being.

    Examples
    --------
    >>> import torch
    >>> transfer(torch.ones(1, 2), torch.eye(2), 3 * torch.eye(2))
    tensor([[0.5000, 0.5000]])
    """
    # Scaled once, outside of the loop: the keys are as many as there are donors.
    queries, keys, values = unit(queries), unit(keys), unit(values)
    received = torch.empty_like(queries)
    for rows in row_blocks(len(queries), len(keys), _SHARES_AT_ONCE):
        received[rows] = shares_of(queries[rows], keys, temperature) @ values
    return received


def compose(
    prototypes: Float[Tensor, "n_classes n_features"],
    weight: Float[Tensor, "n_classes n_features"],
    donors: Bool[Tensor, " n_classes"],
    *,
    trained: Bool[Tensor, " n_classes"] | None = None,
    temperature: float = 10.0,
    attention: Attention = "prototype-to-weight",
    include_weight: bool = True,
    include_prototype: bool = True,
) -> Float[Tensor, "n_classes n_features"]:
    """Compose a hybrid classifier, unit(w_kt) + p̂ + ŵ for every class (CKT eq. 7).

    A class without a trained weight gets unit(w_kt) + p̂, the continual classifier of
    equation 9; where the attention asks with weights, such a class asks with its
    prototype.

    Parameters
    ----------
    prototypes
        Mean unit features per class; only their direction matters.
    weight
        Trained weight per class; rows of classes that are not trained are not read.
    donors
        The classes that give, at least one, all of them trained: D(k) of equation 6.
    trained
        The classes with a trained weight; None for all.
    temperature
        Multiplies the cosine, see `attend`. The paper's is 10.
    attention
        Queries "-to-" keys; the keys are also what is given.
    include_weight, include_prototype
        Whether ŵ and p̂ are added. Without the weight this is equation 9.

    Returns
    -------
    weight
        Rows for a cosine head, in the dtype of `weight`.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022, equations 4 to 7 and 9; supplement, table 1.

    Examples
    --------
    >>> import torch
    >>> prototypes, weight = torch.tensor([[1.0, 0.0], [0.8, 0.6]]), torch.eye(2)
    >>> compose(prototypes, weight, donors=torch.tensor([True, False]))
    tensor([[3.0000, 0.0000],
            [1.8000, 1.6000]])
    """
    if not donors.any():
        raise ValueError("donors must hold at least one class; got none.")
    prototypes = unit(prototypes).to(weight)
    weight = unit(weight)
    if trained is not None:
        if not trained[donors].all():
            raise ValueError("donors must be trained classes; some are not.")
        weight = torch.where(trained[:, None], weight, 0)
    queries, keys = roles(prototypes, weight, trained, attention)
    given = keys[donors]
    hybrid = unit(transfer(queries, given, given, temperature=temperature))
    if include_prototype:
        hybrid += prototypes
    if include_weight:
        hybrid += weight
    return hybrid


def roles(
    prototypes: Tensor, weight: Tensor, trained: Tensor | None, attention: Attention
) -> tuple[Tensor, Tensor]:
    """Return queries and keys for an attention, both [n_classes, n_features]."""
    asking, giving = attention.split("-to-")
    queries = prototypes if asking == "prototype" else weight
    if trained is not None:
        queries = torch.where(trained[:, None], queries, prototypes)
    return queries, prototypes if giving == "prototype" else weight
