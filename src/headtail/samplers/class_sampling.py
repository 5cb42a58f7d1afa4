"""Which examples an epoch shows: the class-sampling rules, drawn in bulk."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Sampling", "class_probabilities", "draw_class_aware", "draw_epochs"]

Sampling = Literal["instance", "sqrt", "class", "progressive", "class-aware"]

_EXPONENTS = {"instance": 1.0, "sqrt": 0.5, "class": 0.0}
_PER_CLASS = 4


def class_probabilities(
    class_counts: Int[Tensor, " n_classes"], exponent: float
) -> Float[Tensor, " n_classes"]:
    """Return P(class j) = n[j]^q / Σ n[i]^q, in float64.

    ``exponent=1`` draws every example alike, 0 every class alike, ½ is the square-root
    sampling of Mahajan et al. (2018). Classes without examples are never drawn.

    Examples
    --------
    >>> import torch
    >>> class_probabilities(torch.tensor([90, 10]), 0.5)
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    counts = class_counts.double()
    weights = torch.where(counts > 0, counts**exponent, 0)
    return weights / weights.sum()


def draw_epochs(
    labels: Int[Tensor, " n_samples"],
    sampling: Sampling,
    n_epochs: int,
    generator: torch.Generator,
) -> Int[Tensor, "n_epochs n_samples"]:
    """Draw the examples of every epoch, n_samples in each.

    ``"instance"`` shows every example once an epoch. ``"sqrt"`` and ``"class"`` draw
    with replacement by `class_probabilities`. ``"progressive"`` mixes the two ends,
    (1 - e)·instance + e·class with e from 0 in the first to 1 in the last epoch.
    ``"class-aware"`` is `draw_class_aware`, one cycle through all epochs.

    References
    ----------
    Kang et al. "Decoupling Representation and Classifier for Long-Tailed
    Recognition." ICLR 2020, section 3.
    """
    n_samples = len(labels)
    if sampling == "class-aware":
        draws = draw_class_aware(labels, n_epochs * n_samples, generator)
        return draws.reshape(n_epochs, n_samples)
    if sampling == "instance":
        keys = torch.rand(n_epochs, n_samples, generator=generator)
        return keys.argsort(dim=1)
    if sampling not in get_args(Sampling):
        raise ValueError(
            f"sampling must be one of {get_args(Sampling)}; got {sampling!r}."
        )
    counts = torch.bincount(labels)
    per_example = {
        rule: (class_probabilities(counts, q) / counts)[labels]
        for rule, q in _EXPONENTS.items()
    }
    if sampling == "progressive":
        share = torch.linspace(0, 1, n_epochs, dtype=torch.float64)[:, None]
        weights = (1 - share) * per_example["instance"] + share * per_example["class"]
    else:
        weights = per_example[sampling].expand(n_epochs, n_samples)
    return _draw(weights, generator)


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


def _draw(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw n_samples indices with replacement by each row of weights."""
    total = weights.cumsum(dim=1)
    keys = torch.rand(weights.shape, generator=generator, dtype=torch.float64)
    draws = torch.searchsorted(total, keys * total[:, -1:], right=True)
    return draws.clamp(max=weights.shape[1] - 1)
