"""The formulas of count-aware transfer: how much of what each class is made of."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headtail.methods.transfer._composition import transfer
from headtail.tensors import unit

__all__ = [
    "Members",
    "Mixture",
    "count_factor",
    "log_prior",
    "mixed_weight",
    "mixture_of",
    "whitened_directions",
]

Members = Literal["linear", "composed", "both"]


class Mixture(NamedTuple):
    """What a count-aware classifier is mixed from.

    Attributes
    ----------
    members
        The trained linear classifier, the composed one, or the mean of the
        probabilities of both.
    prior
        How much of the log-prior is subtracted from balanced logits: -1 is the
        classifier that expects the training set's frequencies.
    transfer, prototype
        a and b of a class without any example; the weight always counts as 1.
    half_count
        Examples at which a and b have fallen to half of that.
    donors
        Classes with more examples than this give.
    temperature
        Multiplies the cosine in the attention.
    noise
        Length of the noise that is added to the unit directions trained on: whitened,
        it has the covariance that all classes share.
    """

    members: Members
    prior: float
    transfer: float
    prototype: float
    half_count: float
    donors: int
    temperature: float
    noise: float = 0.0


def mixture_of(items: Mapping[str, Any]) -> Mixture:
    """Build a mixture from its fields by name; refuse what is none.

    Raises
    ------
    ValueError
        If a field is missing, unknown, or out of its range.
    """
    if set(items) != set(Mixture._fields):
        raise ValueError(
            f"a mixture has the fields {list(Mixture._fields)}; got {sorted(items)}"
        )
    mixture = Mixture(**items)
    right = {
        name: isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (name == "prior" or value >= 0)
        for name, value in items.items()
    }
    right["members"] = mixture.members in get_args(Members)
    right["donors"] = right["donors"] and isinstance(mixture.donors, int)
    right["half_count"] = right["half_count"] and mixture.half_count > 0
    wrong = [name for name, fine in right.items() if not fine]
    if wrong:
        raise ValueError(
            f"a mixture needs {wrong} of the right type and range; got "
            f"{[items[name] for name in wrong]}"
        )
    return mixture


def count_factor(
    counts: Int[Tensor, " n_classes"], half_count: float
) -> Float[Tensor, " n_classes"]:
    """Return half_count / (half_count + n): from 1 towards 0, a sigmoid in log n.

    Examples
    --------
    >>> import torch
    >>> count_factor(torch.tensor([0, 20, 180]), 20.0)
    tensor([1.0000, 0.5000, 0.1000], dtype=torch.float64)
    """
    return half_count / (half_count + counts.double())


def log_prior(counts: Int[Tensor, " n_classes"]) -> Float[Tensor, " n_classes"]:
    """Return log n / N of every class, each of which has an example."""
    return (counts.double() / counts.sum()).log()


def whitened_directions(
    features: Float[Tensor, "n_samples n_features"],
    map: Float[Tensor, "n_features n_features"],
    center: Float[Tensor, " n_features"],
) -> Float[Tensor, "n_samples n_features"]:
    """Return the unit vectors of (x̂ - center) · map.

    Examples
    --------
    >>> import torch
    >>> whitened_directions(torch.tensor([[0.0, 7.0]]), torch.eye(2), torch.zeros(2))
    tensor([[0., 1.]])
    """
    return unit((unit(features) - center) @ map)


def mixed_weight(
    prototypes: Float[Tensor, "n_classes n_features"],
    weight: Float[Tensor, "n_classes n_features"],
    counts: Int[Tensor, " n_classes"],
    trained: Bool[Tensor, " n_classes"],
    donors: Bool[Tensor, " n_classes"],
    mixture: Mixture,
    received: Float[Tensor, "n_classes n_features"] | None = None,
) -> Float[Tensor, "n_classes n_features"]:
    """Return a(n)·unit(w_kt) + b(n)·p̂ + ŵ for every class, of any length.

    a(n) and b(n) are `transfer` and `prototype` times `count_factor`. A class without
    a trained weight gets unit(w_kt) + p̂, as in equation 9 of CKT.

    Parameters
    ----------
    prototypes
        Directions of the class means.
    weight
        Trained directions; rows of classes that are not trained are not read.
    counts
        Training examples per class.
    trained, donors
        Classes with a trained weight, and those of them that give.
    mixture
        The coefficients.
    received
        w_kt of the mixture's donors and temperature, if it is known already.

    Examples
    --------
    >>> import torch
    >>> yes = torch.tensor([True, True])
    >>> mixture = Mixture("composed", 0.0, 0.0, 1.0, 10.0, 0, 10.0)
    >>> counts = torch.tensor([10, 10])
    >>> mixed_weight(torch.eye(2), torch.eye(2).flip(0), counts, yes, yes, mixture)
    tensor([[0.5000, 1.0000],
            [1.0000, 0.5000]])
    """
    prototypes, weight = unit(prototypes), unit(weight)
    if received is None:
        given = weight[donors]
        received = transfer(
            prototypes, given, given, temperature=float(mixture.temperature)
        )
    received = unit(received)
    factor = count_factor(counts, mixture.half_count).to(weight)[:, None]
    mixed = weight + factor * (
        mixture.transfer * received + mixture.prototype * prototypes
    )
    return torch.where(trained[:, None], mixed, received + prototypes)
