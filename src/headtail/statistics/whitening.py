"""Shrunk covariances, and the maps that make them the identity."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["oas_shrinkage", "shrink", "whitening_map"]


def oas_shrinkage(
    covariance: Float[Tensor, "n_features n_features"], degrees_of_freedom: int
) -> float:
    """Return the oracle approximating shrinkage of a covariance, in 0 … 1.

    It is scikit-learn's `oas` with the degrees of freedom in place of the examples:
    means that are estimated, one per class, take one degree each. Without any it is 1.

    References
    ----------
    Chen et al. "Shrinkage Algorithms for MMSE Covariance Estimation." IEEE TSP 2010,
    equation 23, as scikit-learn computes it.

    Examples
    --------
    >>> import torch
    >>> oas_shrinkage(torch.diag(torch.tensor([4.0, 1.0])), 20)
    0.444...
    """
    size = len(covariance)
    mean = covariance.diagonal().mean()
    square = covariance.square().mean()
    top = square + mean**2
    bottom = (degrees_of_freedom + 1) * (square - mean**2 / size)
    if degrees_of_freedom < 1 or not bottom > 0:
        return 1.0
    return min(float(top / bottom), 1.0)


def shrink(
    covariance: Float[Tensor, "n_features n_features"], shrinkage: float
) -> Float[Tensor, "n_features n_features"]:
    """Return (1 - shrinkage) · covariance + shrinkage · mean variance · identity.

    Examples
    --------
    >>> import torch
    >>> shrink(torch.diag(torch.tensor([4.0, 2.0])), 0.5)
    tensor([[3.5000, 0.0000],
            [0.0000, 2.5000]])
    """
    shrunk = (1 - shrinkage) * covariance
    shrunk.diagonal().add_(shrinkage * covariance.diagonal().mean())
    return shrunk


def whitening_map(
    covariance: Float[Tensor, "n_features n_features"],
) -> Float[Tensor, "n_features n_features"]:
    """Return the symmetric root of the inverse: x · map has the identity.

    Of all whitening maps it changes the features least. Directions without variance
    (to the precision of the dtype) count as having the least that can be told from
    none; a covariance of zero leaves the features as they are.

    Examples
    --------
    >>> import torch
    >>> whitening_map(torch.diag(torch.tensor([4.0, 1.0])))
    tensor([[0.5000, 0.0000],
            [0.0000, 1.0000]])
    """
    values, vectors = torch.linalg.eigh(covariance)
    largest = values[-1]
    if not largest > 0:
        return torch.eye(len(covariance)).to(covariance)
    least = largest * len(values) * torch.finfo(values.dtype).eps
    root = vectors * values.clamp(min=least).pow(-0.25)
    whitening: Tensor = root @ root.T
    return whitening
