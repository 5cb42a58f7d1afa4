"""Linear classifiers learned from k examples of each class, very many at once."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.tensors import row_blocks

__all__ = [
    "Solver",
    "balanced_targets",
    "draw_shots",
    "ridge_models",
    "shot_models",
    "softmax_models",
]

Solver = Literal["ridge", "softmax"]

# Numbers in the gathered examples of one chunk of models: 256 MB of float32.
_AT_ONCE = 2**26
_ITERATIONS = 30  # of the softmax solver


def draw_shots(
    labels: Int[Tensor, " n_samples"],
    n_models: int,
    shots: int,
    generator: torch.Generator,
) -> Int[Tensor, "n_models n_draws"]:
    """Draw `shots` different examples of every class, anew for every model.

    Examples stand class by class; every class has to have that many.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([1, 0, 1, 0, 0])
    >>> rows = draw_shots(labels, 3, 2, torch.Generator().manual_seed(0))
    >>> labels[rows]
    tensor([[0, 0, 1, 1],
            [0, 0, 1, 1],
            [0, 0, 1, 1]])
    """
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    wanted = (starts[:, None] + torch.arange(shots)).flatten()
    # float64 keys: a random number under each label still has its digits.
    keys = torch.rand(n_models, len(labels), generator=generator, dtype=torch.float64)
    return (keys + labels).argsort(dim=1)[:, wanted]


def balanced_targets(
    n_classes: int, shots: int, like: Tensor
) -> Float[Tensor, "n_samples n_classes"]:
    """Return C · one-hot - 1 for examples that stand class by class.

    The factor C makes the size of a ridge weight independent of how many classes there
    are: it is (S + penalty · I)⁻¹ (mean of the class - mean of all).
    """
    eye = torch.eye(n_classes, device=like.device, dtype=like.dtype)
    return (n_classes * eye - 1).repeat_interleave(shots, dim=0)


def ridge_models(
    features: Float[Tensor, "n_models n_samples n_features"],
    targets: Float[Tensor, "n_samples n_classes"],
    penalty: float,
) -> Float[Tensor, "n_models n_classes n_features"]:
    """Minimise mean ‖W x - y‖² + penalty · ‖W‖² for every model, in closed form.

    In the space of examples where they are fewer than the features, else in that of
    features.
    """
    n_samples, n_features = features.shape[1:]
    turned = features.transpose(1, 2)
    if n_samples <= n_features:
        gram = _with_penalty(torch.bmm(features, turned) / n_samples, penalty)
        dual = _solve(gram, (targets / n_samples).expand(len(gram), -1, -1))
        return torch.bmm(dual.transpose(1, 2), features)
    scatter = _with_penalty(torch.bmm(turned, features) / n_samples, penalty)
    return _solve(scatter, turned @ targets / n_samples).transpose(1, 2)


def softmax_models(
    features: Float[Tensor, "n_models n_samples n_features"],
    targets: Float[Tensor, "n_samples n_classes"],
    penalty: float,
    *,
    iterations: int = _ITERATIONS,
) -> Float[Tensor, "n_models n_classes n_features"]:
    """Minimise the mean cross-entropy + penalty / 2 · ‖W‖² for every model.

    `targets` are probabilities. Every step minimises Böhning's quadratic bound, whose
    matrix, half the scatter + penalty, is the same in all steps and inverted once;
    steps are accelerated as Nesterov's are. In the space of examples where they are
    fewer than the features.

    References
    ----------
    Böhning. "Multinomial logistic regression algorithm." Annals of the Institute of
    Statistical Mathematics 44 (1992).
    """
    n_models, n_samples, n_features = features.shape
    n_classes = targets.shape[1]
    turned = features.transpose(1, 2)
    dual = n_samples <= n_features
    matrix = torch.bmm(features, turned) if dual else torch.bmm(turned, features)
    inverse = torch.cholesky_inverse(
        torch.linalg.cholesky(_with_penalty(matrix / (2 * n_samples), penalty))
    )
    size = n_samples if dual else n_features
    current = features.new_zeros(n_models, size, n_classes)
    ahead, momentum = current, 1.0
    for _ in range(iterations):
        logits = torch.bmm(matrix if dual else features, ahead)
        residual = (logits.softmax(dim=2) - targets).div_(n_samples)
        gradient = residual if dual else torch.bmm(turned, residual)
        gradient = gradient.add(ahead, alpha=penalty)
        stepped = torch.baddbmm(ahead, inverse, gradient, alpha=-1)
        faster = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = torch.lerp(current, stepped, 1 + (momentum - 1) / faster)
        current, momentum = stepped, faster
    if dual:
        return torch.bmm(current.transpose(1, 2), features)
    return current.transpose(1, 2)


def shot_models(
    gather: Callable[[Tensor], Tensor],
    labels: Int[Tensor, " n_samples"],
    n_models: int,
    shots: int,
    *,
    solver: Solver,
    penalty: float,
    generator: torch.Generator,
    after_chunk: Callable[[int], None] = lambda done: None,
) -> Float[Tensor, "n_models n_classes n_features"]:
    """Return classifiers from `shots` random examples of each class each.

    Works in chunks of models whose examples fit in 256 MB.

    Parameters
    ----------
    gather
        From indices of examples, of any shape, to their features.
    labels
        0 … n_classes - 1, each at least `shots` times.
    after_chunk
        Told how many models are done.
    """
    n_classes = int(labels.max()) + 1
    example = gather(torch.zeros(1, dtype=torch.int64))
    n_features = example.shape[-1]
    models = example.new_empty(n_models, n_classes, n_features)
    targets = balanced_targets(n_classes, shots, example)
    if solver == "softmax":
        targets = (targets + 1) / n_classes
    solve = ridge_models if solver == "ridge" else softmax_models
    n_drawn = n_classes * shots
    smaller = min(n_drawn, n_features)
    largest = max(n_drawn * n_features, smaller**2, len(labels))
    for chunk in row_blocks(n_models, largest, _AT_ONCE):
        rows = draw_shots(labels, chunk.stop - chunk.start, shots, generator)
        models[chunk] = solve(gather(rows), targets, penalty)
        after_chunk(chunk.stop)
    return models


def _with_penalty(matrices: Tensor, penalty: float) -> Tensor:
    matrices.diagonal(dim1=-2, dim2=-1).add_(penalty)
    return matrices


def _solve(matrices: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrices))
