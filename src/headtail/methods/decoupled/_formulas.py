"""The formulas of classifiers that are corrected after training."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headtail.tensors import row_blocks, shown

__all__ = [
    "adjust_logits",
    "check_prior",
    "log_prior",
    "predict_affine",
    "prior_shift",
    "tau_normalize",
    "tau_scales",
]

# Logits of one block of samples: 4 MB of float32, which stay in the processor's cache.
_LOGITS_AT_ONCE = 2**20


def tau_normalize(
    weight: Float[Tensor, "n_classes n_features"], *, tau: float = 1.0
) -> Float[Tensor, "n_classes n_features"]:
    """Divide every row by its length to the power tau.

    ``tau=0`` leaves the weight unchanged, ``tau=1`` gives rows of length 1. A row of
    zeros stays zero.

    References
    ----------
    Kang et al. "Decoupling Representation and Classifier for Long-Tailed
    Recognition." ICLR 2020, equation 4.

    Examples
    --------
    >>> import torch
    >>> tau_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.5]]), tau=1.0)
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    return weight * tau_scales(weight, tau)[:, None].to(weight)


def tau_scales(
    weight: Float[Tensor, "n_classes n_features"], tau: float
) -> Float[Tensor, " n_classes"]:
    """Return the factor of every row in `tau_normalize`, in float64."""
    norm = torch.linalg.vector_norm(weight.double(), dim=1)
    return torch.where(norm > 0, norm, 1).pow(-tau)


def log_prior(class_counts: Int[Tensor, " n_classes"]) -> Float[Tensor, " n_classes"]:
    """Return the log of every class's share of the examples, in float64."""
    empty = (class_counts < 1).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"class_counts must be at least 1 for every class; classes {shown(empty)} "
            "have no training sample. Drop them, or smooth the counts before adjusting."
        )
    counts = class_counts.double()
    return counts.log() - counts.sum().log()


def adjust_logits(
    logits: Float[Tensor, "n_samples n_classes"],
    class_counts: Int[Tensor, " n_classes"],
    *,
    tau: float = 1.0,
    target_prior: Float[Tensor, " n_classes"] | None = None,
) -> Float[Tensor, "n_samples n_classes"]:
    """Subtract tau times the log-prior of the training data from the logits.

    ``tau=0`` leaves the logits unchanged, ``tau=1`` is Bayes-optimal for balanced
    accuracy if the logits are those of calibrated probabilities. With a target prior
    its logarithm is added: then the probabilities are those of data with that prior.

    References
    ----------
    Menon et al. "Long-Tail Learning via Logit Adjustment." ICLR 2021, equation 9.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.0]])
    >>> adjust_logits(logits, torch.tensor([90, 10])).softmax(dim=1)
    tensor([[0.1000, 0.9000]])
    """
    return logits + prior_shift(class_counts, tau, target_prior).to(logits)


def prior_shift(
    class_counts: Int[Tensor, " n_classes"],
    tau: float,
    target_prior: Float[Tensor, " n_classes"] | None = None,
) -> Float[Tensor, " n_classes"]:
    """Return what `adjust_logits` adds to the logits of every class, in float64."""
    shift = -tau * log_prior(class_counts)
    if target_prior is not None and target_prior.shape != shift.shape:
        raise ValueError(
            f"target_prior must have one share per class ({len(shift)}); got shape "
            f"{list(target_prior.shape)}."
        )
    return shift if target_prior is None else shift + check_prior(target_prior).log()


def check_prior(prior: Float[Tensor, " n_classes"]) -> Float[Tensor, " n_classes"]:
    """Return a target prior in float64; refuse one that is none."""
    prior = prior.double()
    total = float(prior.sum())
    # Shares in float32 sum to 1 within about 1e-7 each.
    if not bool((prior > 0).all()) or not np.isclose(total, 1.0, atol=1e-6):
        raise ValueError(
            "target_prior must be positive and sum to 1; got a sum of "
            f"{total:g}, the smallest share is {float(prior.min()):g}. Divide it by "
            "its sum."
        )
    return prior


def predict_affine(
    logits: Callable[[Tensor], Tensor],
    features: Tensor,
    *,
    scales: Float[Tensor, "n_candidates n_classes"] | None = None,
    biases: Float[Tensor, "n_candidates n_classes"] | None = None,
) -> Int[Tensor, "n_candidates n_samples"]:
    """Return the largest of scale ⊙ z + bias per sample, for many scales or biases.

    The logits z are computed once; each candidate costs one pass over them while they
    are in the processor's cache.
    """
    given = [factor for factor in (scales, biases) if factor is not None]
    n_classes = given[0].shape[1]
    predicted = torch.empty(len(given[0]), len(features), dtype=torch.int64)
    for rows in row_blocks(len(features), max(n_classes, features.shape[1])):
        z = logits(features[rows])
        for part in row_blocks(len(z), n_classes, _LOGITS_AT_ONCE):
            block, changed = z[part], torch.empty_like(z[part])
            into = slice(rows.start + part.start, rows.start + part.stop)
            for candidate in range(len(predicted)):
                if scales is not None:
                    torch.mul(block, scales[candidate], out=changed)
                if biases is not None:
                    other = block if scales is None else changed
                    torch.add(other, biases[candidate], out=changed)
                # Twice as fast as argmax, with the same first of equal values.
                predicted[candidate, into] = changed.max(dim=1).indices.cpu()
    return predicted
