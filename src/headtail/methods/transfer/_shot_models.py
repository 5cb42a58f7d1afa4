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
    "many_shot_model",
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

    With the factor C a ridge weight is (S + penalty · I)⁻¹ (mean of the class - mean of
    all), S the scatter of all classes: of its size only S depends on the other classes.
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
    """Take steps to the least mean cross-entropy + penalty / 2 · ‖W‖² of every model.

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

    def gradient(weight: Tensor) -> Tensor:
        logits = torch.bmm(matrix if dual else features, weight)
        residual = (logits.softmax(dim=2) - targets).div_(n_samples)
        inner = residual if dual else torch.bmm(turned, residual)
        return inner.add(weight, alpha=penalty)

    size = n_samples if dual else n_features
    start = features.new_zeros(n_models, size, n_classes)
    current = _descend(start, gradient, lambda g: torch.bmm(inverse, g), iterations)
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
    advance: Callable[[int], None] | None = None,
) -> Float[Tensor, "n_models n_classes n_features"]:
    """Return classifiers from `shots` random examples of each class each.

    Works in chunks of models of which no array has more than 2^26 numbers.

    Parameters
    ----------
    gather
        From indices of examples, of any shape, to their features.
    labels
        0 … n_classes - 1, each at least `shots` times.
    advance
        Told how many models every chunk held, if given.
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
    sizes = n_drawn * n_features, n_drawn * n_classes, smaller**2, 8 * len(labels)
    largest = max(sizes)
    for chunk in row_blocks(n_models, largest, _AT_ONCE):
        rows = draw_shots(labels, chunk.stop - chunk.start, shots, generator)
        models[chunk] = solve(gather(rows), targets, penalty)
        if advance is not None:
            advance(len(rows))
    return models


def many_shot_model(
    features: Float[Tensor, "n_samples n_features"],
    labels: Int[Tensor, " n_samples"],
    *,
    solver: Solver,
    penalty: float,
    iterations: int = _ITERATIONS,
) -> Float[Tensor, "n_classes n_features"]:
    """Return the classifier learned from all examples, by the solver of k-shot models.

    Every class counts alike, however many examples it has, as it does in a k-shot
    model: so both live in the same scale.
    """
    labels = labels.to(features.device)
    counts = torch.bincount(labels)
    n_classes = len(counts)
    share = (1 / (n_classes * counts.to(features)))[labels]
    scatter = _weighted_scatter(features, share)
    if solver == "ridge":
        means = features.new_zeros(n_classes, features.shape[1])
        means.index_add_(0, labels, features * share[:, None] * n_classes)
        right = (means - means.mean(dim=0)).double()
        return _solve(_with_penalty(scatter, penalty), right.T).T.to(features)
    bound = torch.linalg.cholesky(_with_penalty(scatter / 2, penalty))
    inverse = torch.cholesky_inverse(bound).to(features)
    blocks = list(row_blocks(len(features), max(n_classes, features.shape[1])))

    def gradient(weight: Tensor) -> Tensor:
        total = penalty * weight
        for rows in blocks:
            residual = (features[rows] @ weight).softmax(dim=1)
            residual[torch.arange(len(residual)), labels[rows]] -= 1
            total += features[rows].T @ (residual * share[rows, None])
        return total

    start = features.new_zeros(features.shape[1], n_classes)
    return _descend(start, gradient, lambda g: inverse @ g, iterations).T


def _weighted_scatter(features: Tensor, share: Tensor) -> Tensor:
    """Return Σ share · x xᵀ; products in the features' dtype, their sum in float64."""
    n_features = features.shape[1]
    total = features.new_zeros(n_features, n_features, dtype=torch.float64)
    for rows in row_blocks(len(features), n_features):
        scaled = features[rows] * share[rows, None].sqrt()
        total += scaled.T @ scaled
    return total


def _descend(
    start: Tensor,
    gradient: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    iterations: int,
) -> Tensor:
    """Return where accelerated steps of minus the preconditioned gradient lead."""
    current, ahead, momentum = start, start, 1.0
    for _ in range(iterations):
        stepped = ahead - precondition(gradient(ahead))
        faster = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = torch.lerp(current, stepped, 1 + (momentum - 1) / faster)
        current, momentum = stepped, faster
    return current


def _with_penalty(matrices: Tensor, penalty: float) -> Tensor:
    matrices.diagonal(dim1=-2, dim2=-1).add_(penalty)
    return matrices


def _solve(matrices: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrices))
