"""The formulas of AlphaNet, equations 1 to 3: coefficients, neighbours, composition."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "bounded_coefficients",
    "compose_rows",
    "nearest_classes",
    "normalized_coefficients",
    "principal_components",
]


def normalized_coefficients(
    raw: Float[Tensor, "n_few n_vectors"],
) -> Float[Tensor, "n_few n_vectors"]:
    """Divide each class's coefficients by the sum of their sizes (AlphaNet eq. 1).

    Examples
    --------
    >>> import torch
    >>> normalized_coefficients(torch.tensor([[3.0, -1.0]]))
    tensor([[ 0.7500, -0.2500]])
    """
    total = raw.abs().sum(dim=1, keepdim=True)
    return raw / torch.where(total > 0, total, 1)


def bounded_coefficients(
    raw: Float[Tensor, "n_few n_vectors"], gamma: float
) -> Float[Tensor, "n_few n_vectors"]:
    """Normalise coefficients, then clamp them, keeping signs (AlphaNet section 3.2).

    The first, the class's own, is at most gamma in size, each of the K others at least
    (1 - gamma) / K; nothing is normalised after that.

    A hard clamp has no gradient where it acts: with all of them acting nothing would
    be learned. Here the gradient passes a clamp wherever a step along it leads back
    between the bounds, and stops where it would lead further out.

    Examples
    --------
    >>> import torch
    >>> bounded_coefficients(torch.tensor([[8.0, 1.0, -1.0]]), gamma=0.6)
    tensor([[ 0.6000,  0.2000, -0.2000]])
    """
    bounded: Tensor = _Clamp.apply(  # type: ignore[no-untyped-call]
        normalized_coefficients(raw), gamma
    )
    return bounded


class _Clamp(torch.autograd.Function):
    """The clamps of `bounded_coefficients`, and their one-sided gradient."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, gamma: float) -> Tensor:
        size = alpha.abs()
        floor = (1 - gamma) / (alpha.shape[1] - 1)
        own = size[:, :1].clamp(max=gamma)
        clamped = torch.cat([own, size[:, 1:].clamp(min=floor)], dim=1)
        sign = torch.where(alpha < 0, -1.0, 1.0).to(alpha)
        ctx.save_for_backward(sign, clamped != size)
        return sign * clamped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        sign, clamped = ctx.saved_tensors
        growth = -sign * gradient  # what a step of descent does to the size
        inward = torch.cat([growth[:, :1] < 0, growth[:, 1:] > 0], dim=1)
        return torch.where(clamped & ~inward, 0, gradient), None


def compose_rows(
    coefficients: Float[Tensor, "n_few n_vectors"],
    rows: Float[Tensor, "n_classes ..."],
    vectors: Int[Tensor, "n_few n_vectors"],
) -> Float[Tensor, "n_few ..."]:
    """Return Σ c[j] · rows[vectors[j]] for every few-shot class (AlphaNet eq. 2, 3).

    Examples
    --------
    >>> import torch
    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> compose_rows(torch.tensor([[0.5, 0.5]]), weight, torch.tensor([[0, 1]]))
    tensor([[0.5000, 1.0000]])
    """
    # A sparse product: the gathered vectors would be n_few · n_vectors whole rows.
    sparse = coefficients.new_zeros(len(coefficients), len(rows))
    sparse.scatter_add_(1, vectors, coefficients)
    return sparse @ rows


def nearest_classes(
    means: Float[Tensor, "n_classes n_features"],
    few: Int[Tensor, " n_few"],
    base: Int[Tensor, " n_base"],
    n_neighbors: int,
) -> tuple[Int[Tensor, "n_few n_neighbors"], Float[Tensor, "n_few n_neighbors"]]:
    """Return the base classes whose means are nearest, nearest first, and how far.

    Distances are Euclidean; of two base classes as far, the first of `base` comes
    first.

    Examples
    --------
    >>> import torch
    >>> means = torch.tensor([[0.0], [5.0], [2.0], [1.5]])
    >>> nearest_classes(means, torch.tensor([3]), torch.tensor([0, 1, 2]), 2)
    (tensor([[2, 0]]), tensor([[0.5000, 1.5000]]))
    """
    # Not by products: means far from the origin would lose their differences.
    distances = torch.cdist(
        means[few], means[base], compute_mode="donot_use_mm_for_euclid_dist"
    )
    nearest, order = distances.sort(dim=1, stable=True)
    return base[order[:, :n_neighbors]], nearest[:, :n_neighbors]


def principal_components(
    weight: Float[Tensor, "n_classes n_features"], n_components: int
) -> Float[Tensor, "n_classes n_components"]:
    """Return the classes' weights in their first principal components.

    At most min(n_features, n_classes - 1) of them say anything.

    Examples
    --------
    >>> import torch
    >>> principal_components(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), 1).abs()
    tensor([[2.5000],
            [2.5000]])
    """
    centered = weight - weight.mean(dim=0)
    left, sizes, right = torch.linalg.svd(centered, full_matrices=False)
    # Signs of singular vectors are the solver's whim: the largest entry is positive.
    largest = right.gather(1, right.abs().argmax(dim=1, keepdim=True))
    signs = torch.where(largest[:, 0] < 0, -1, 1)
    scores: Tensor = (left * sizes * signs)[:, :n_components]
    return scores
