"""Which examples an epoch shows: the class-sampling rules, drawn in bulk."""

from collections.abc import Iterator
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "Sampling",
    "class_probabilities",
    "draw_by_weight",
    "draw_class_aware",
    "draw_epochs",
    "epoch_size",
]

Sampling = Literal[
    "instance",
    "sqrt",
    "class",
    "progressive",
    "class-aware",
    "reversed",
    "over",
    "under",
]

_EXPONENTS = {"instance": 1.0, "sqrt": 0.5, "class": 0.0, "reversed": -1.0}
_PER_CLASS = 4


def class_probabilities(
    class_counts: Int[Tensor, " n_classes"], exponent: float
) -> Float[Tensor, " n_classes"]:
    """Return P(class j) = n[j]^q / Σ n[i]^q, in float64.

    ``exponent=1`` draws every example alike, 0 every class alike, ½ is the square-root
    sampling of Mahajan et al. (2018), -1 the reversed sampling of Zhou et al. (2020),
    which shows a class the more often the fewer examples it has. Classes without
    examples are never drawn.

    Examples
    --------
    >>> import torch
    >>> class_probabilities(torch.tensor([90, 10]), 0.5)
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    counts = class_counts.double()
    weights = torch.where(counts > 0, counts**exponent, 0)
    return weights / weights.sum()


def epoch_size(labels: Int[Tensor, " n_samples"], sampling: Sampling) -> int:
    """Return how many examples an epoch shows: n_samples, but for over and under.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    >>> [epoch_size(labels, rule) for rule in ("instance", "over", "under")]
    [8, 15, 5]
    """
    if sampling not in ("over", "under"):
        return len(labels)
    return int(_quota(labels, sampling).sum())


def draw_epochs(
    labels: Int[Tensor, " n_samples"],
    sampling: Sampling,
    n_epochs: int,
    generator: torch.Generator,
) -> Iterator[Int[Tensor, " n_draws"]]:
    """Draw the examples of every epoch, `epoch_size` in each, epoch by epoch.

    ``"instance"`` shows every example once an epoch. ``"sqrt"``, ``"class"`` and
    ``"reversed"`` draw with replacement by `class_probabilities`. ``"progressive"``
    mixes two of them, (1 - e)·instance + e·class with e from 0 in the first to 1 in
    the last epoch. ``"class-aware"`` is `draw_class_aware`, one cycle through all
    epochs. ``"over"`` brings every class to the size of the largest: its examples
    come as often as is needed, none more than once more than another. ``"under"`` caps
    every class at the median class size, with other examples in every epoch.

    References
    ----------
    Kang et al. "Decoupling Representation and Classifier for Long-Tailed
    Recognition." ICLR 2020, section 3. Zhou et al. "BBN: Bilateral-Branch Network with
    Cumulative Learning for Long-Tailed Visual Recognition." CVPR 2020 (reversed).
    """
    if sampling not in get_args(Sampling):
        raise ValueError(
            f"sampling must be one of {get_args(Sampling)}; got {sampling!r}."
        )
    n_samples = len(labels)
    if sampling == "class-aware":
        draws = draw_class_aware(labels, n_epochs * n_samples, generator)
        return iter(draws.reshape(n_epochs, n_samples))
    if sampling == "instance":
        return (_shuffled(1, n_samples, generator) for _ in range(n_epochs))
    if sampling in ("over", "under"):
        quota = _quota(labels, sampling)
        return (_draw_quota(labels, quota, generator) for _ in range(n_epochs))
    counts = torch.bincount(labels)
    weights = {
        rule: (class_probabilities(counts, q) / counts)[labels]
        for rule, q in _EXPONENTS.items()
    }
    if sampling != "progressive":
        return (
            draw_by_weight(weights[sampling], n_samples, generator)
            for _ in range(n_epochs)
        )
    first, last = weights["instance"], weights["class"]
    shares = torch.linspace(0, 1, n_epochs, dtype=torch.float64)
    return (
        draw_by_weight((1 - e) * first + e * last, n_samples, generator) for e in shares
    )


def draw_class_aware(
    labels: Int[Tensor, " n_samples"], n_draws: int, generator: torch.Generator
) -> Int[Tensor, " n_draws"]:
    """Draw classes from a shuffled cycle and 4 examples from each drawn class.

    The examples of a class come from its own shuffled cycle: none comes again before
    all of them came.

    References
    ----------
    Shen et al. "Relay Backpropagation for Effective Learning of Deep CNNs." ECCV 2016.
    """
    present, local, counts = torch.unique(
        labels, return_inverse=True, return_counts=True
    )
    n_turns = -(-n_draws // _PER_CLASS)
    n_cycles = -(-n_turns // len(present))
    turns = _shuffled(n_cycles, len(present), generator)[:n_turns]
    drawn = turns.repeat_interleave(_PER_CLASS)[:n_draws]
    # The k-th draw of a class takes entry k of that class's row of shuffled cycles.
    order = drawn.argsort(stable=True)
    times = torch.bincount(drawn, minlength=len(present))
    position = torch.arange(n_draws) - (times.cumsum(0) - times)[drawn[order]]
    draws = torch.empty(n_draws, dtype=torch.int64)
    draws[order] = _cycles(local, counts, times, generator, drawn[order], position)
    return draws


def _cycles(
    local: Tensor,
    counts: Tensor,
    times: Tensor,
    generator: torch.Generator,
    classes: Tensor,
    position: Tensor,
) -> Tensor:
    """Return entry `position` of the concatenated shuffled cycles of `classes`."""
    by_class = local.argsort(stable=True)
    first = counts.cumsum(0) - counts
    n_cycles = -(-times // counts)
    lengths = n_cycles * counts
    start = lengths.cumsum(0) - lengths
    owner = torch.repeat_interleave(lengths)
    within = torch.arange(int(lengths.sum())) - start[owner]
    cycle = start[owner] + within // counts[owner] * counts[owner]
    # Sorting by (cycle, random key) shuffles every cycle where it stands.
    keys = torch.rand(len(owner), generator=generator, dtype=torch.float64)
    shuffled = (cycle + keys).argsort()
    examples = by_class[first[owner] + within % counts[owner]]
    return examples[shuffled][start[classes] + position]


def _shuffled(n_cycles: int, length: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n_cycles, length, generator=generator).argsort(dim=1).flatten()


def draw_by_weight(
    weights: Float[Tensor, " n_samples"], n_draws: int, generator: torch.Generator
) -> Int[Tensor, " n_draws"]:
    """Draw indices with replacement, in proportion to their weights.

    Examples
    --------
    >>> import torch
    >>> draw_by_weight(torch.tensor([0.0, 3.0]), 4, torch.Generator())
    tensor([1, 1, 1, 1])
    """
    total = weights.cumsum(dim=0)
    keys = torch.rand(n_draws, generator=generator, dtype=torch.float64)
    draws = torch.searchsorted(total, keys * total[-1], right=True)
    return draws.clamp(max=len(weights) - 1)


def _quota(labels: Tensor, sampling: Sampling) -> Tensor:
    """Return how many examples of every class, 0 … largest label, an epoch shows."""
    counts = torch.bincount(labels)
    present = counts > 0
    if sampling == "over":
        return torch.where(present, counts.max(), 0)
    # The middle of an even number of classes lies between two counts: the lower one.
    return counts.clamp(max=int(counts[present].median()))


def _draw_quota(labels: Tensor, quota: Tensor, generator: torch.Generator) -> Tensor:
    """Draw quota[c] examples of every class c, as evenly as that can be, shuffled."""
    # Shuffled, then by class: rank k of a class is its k-th random example.
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    counts = torch.bincount(labels, minlength=len(quota))
    first = counts.cumsum(0) - counts
    owner = torch.repeat_interleave(quota)
    rank = torch.arange(len(owner)) - (quota.cumsum(0) - quota)[owner]
    draws = order[first[owner] + rank % counts[owner]]
    return draws[torch.randperm(len(draws), generator=generator)]
