"""Cut head classes down to a few examples, and hold the others back."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headtail.samplers import capped_counts, choose_per_class
from headtail.statistics import shot_groups
from headtail.tensors import shown

__all__ = ["SimulatedTail", "cut_head_classes", "weighted_recall"]


@dataclass(frozen=True)
class SimulatedTail:
    """Training data with a tail that was made from head classes.

    Attributes
    ----------
    kept
        The examples to fit on.
    held_back
        The examples to score on.
    cut
        The head classes that were cut.
    class_counts
        Examples per class that are kept; 0 for a class that is left out.
    """

    kept: Bool[Tensor, " n_samples"]
    held_back: Bool[Tensor, " n_samples"]
    cut: Bool[Tensor, " n_classes"]
    class_counts: Int[Tensor, " n_classes"]


def cut_head_classes(
    labels: Int[Tensor, " n_samples"],
    *,
    shots: Sequence[int] | None = None,
    cut_fraction: float = 0.25,
    held_fraction: float = 0.2,
    max_held_back: int = 20_000,
    generator: torch.Generator,
) -> SimulatedTail:
    """Cut some head classes down to `shots` examples, and hold the others back.

    A head class has at least 20 examples; where fewer than two classes have, all count
    as such. Those with three examples for each that the largest cut leaves can be cut.
    The cut ones are spread over them from the smallest to the largest, the shots at
    random over the cut ones. The other head classes hold back `held_fraction`, so that
    what the tail gains is weighed against what the head loses. As many classes of the
    real tail are left out as there are cut ones, so that the tail is not longer than it
    was; the others keep all of their examples, and are not scored.

    Parameters
    ----------
    labels
        Class positions of the training examples.
    shots
        Examples that a cut class keeps: None for the powers of two below 20, from the
        size of the smallest class on.
    cut_fraction
        Share of the classes that can be cut which are; at least one is, one is not.
    held_fraction
        Share of each uncut head class that is held back.
    max_held_back
        Above this many, the same number at most of every class; one at least.
    """
    counts = torch.bincount(labels)
    shots = _default_shots(counts) if shots is None else list(shots)
    whole = all(isinstance(k, Integral) for k in shots)
    if not shots or not whole or min(shots) < 1:
        raise ValueError(
            f"shots must be integers of at least 1; got {shown(list(shots))}."
        )
    shots = sorted(set(shots))
    head, able = _head_and_able(counts, shots[-1])
    n_able = int(able.sum())
    n_cut = min(max(round(cut_fraction * n_able), 1), n_able - 1)
    chosen = _spread(able, counts, n_cut, generator)
    cut = torch.zeros(len(counts), dtype=torch.bool)
    cut[chosen] = True
    held = torch.minimum((held_fraction * counts).round().long(), counts - 1)
    quota = torch.where(head, counts - held, counts)
    tail = ~head & (counts > 0)
    quota[_spread(tail, counts, min(n_cut, int(tail.sum())), generator)] = 0
    order = torch.randperm(n_cut, generator=generator)
    if n_cut < len(shots):  # not the smallest of them every time
        order = torch.randperm(len(shots), generator=generator)[:n_cut]
    quota[chosen] = torch.tensor(shots)[order % len(shots)]
    kept = choose_per_class(labels, quota, generator)
    spare = ~kept & head[labels]
    held_back = spare & choose_per_class(
        torch.where(spare, labels, len(counts)),
        _spare_quota(
            torch.bincount(labels[spare], minlength=len(counts)), max_held_back
        ),
        generator,
    )
    simulated = torch.bincount(labels[kept], minlength=len(counts))
    return SimulatedTail(kept, held_back, cut, simulated)


def weighted_recall(
    recalls: Float[Tensor, "n_candidates n_classes"],
    simulated_counts: Int[Tensor, " n_classes"],
    real_counts: Int[Tensor, " n_classes"],
) -> Float[Tensor, " n_candidates"]:
    """Return the accuracy over all classes that simulated recalls stand for.

    The scored classes of each shot group, by their simulated counts, speak for the
    classes of that group in the real data. A group without a scored class has no
    voice. NaN marks a class that is not scored.
    """
    scored = ~recalls[0].isnan()
    simulated = dict(shot_groups(simulated_counts.numpy()).items())
    weight = torch.zeros(len(scored), dtype=torch.float64)
    for name, real in shot_groups(real_counts.numpy()).items():
        members = torch.from_numpy(np.asarray(simulated[name])) & scored
        weight[members] = float(real.sum()) / max(int(members.sum()), 1)
    if not weight.any():
        weight = scored.double()
    return (recalls.nan_to_num() * weight).sum(dim=1) / weight.sum()


def _head_and_able(counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the head classes, and those of them that can be cut to `most`."""
    head = counts >= 20
    if head.sum() < 2:
        head = counts > 0
    able = head & (counts >= 3 * most)
    if able.sum() < 2:
        raise ValueError(
            f"Simulated tails need two classes with at least {3 * most} examples, "
            f"three for each of the largest cut; there are {int(able.sum())}. Pass "
            "smaller shots, or choose on validation data."
        )
    return head, able


def _spread(
    among: Tensor, counts: Tensor, n_chosen: int, generator: torch.Generator
) -> Tensor:
    """Choose classes at random, one from each of n_chosen equal stretches by size."""
    by_size = among.nonzero().flatten()[counts[among].argsort(stable=True)]
    edges = torch.linspace(0, len(by_size), n_chosen + 1).round().long()
    inside = torch.rand(n_chosen, generator=generator)
    return by_size[edges[:-1] + (inside * edges.diff()).long()]


def _default_shots(counts: Tensor) -> list[int]:
    least = int(counts[counts > 0].min())
    powers = [1, 2, 4, 8, 16]
    possible = [
        k for k in powers if 3 * k <= int(counts.topk(min(2, len(counts)))[0][-1])
    ]
    return [k for k in possible if 2 * k > least] or possible[-1:] or [1]


def _spare_quota(sizes: Tensor, most: int) -> Tensor:
    # One more class, without any, for the examples that are not to be chosen.
    return torch.cat([capped_counts(sizes, most), sizes.new_zeros(1)])
