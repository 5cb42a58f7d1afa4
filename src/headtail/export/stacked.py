"""Heads as one matrix product, where their members see the same features."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from headtail.heads import (
    AffineHead,
    CausalNormHead,
    CosineHead,
    DisAlignHead,
    EnsembleHead,
    Head,
    LinearHead,
    WhitenedHead,
    causal_norm_logits,
    linear_form,
)
from headtail.tensors import unit

__all__ = ["StackedHead", "collapse"]


class _Center(nn.Module):
    """Subtract a vector."""

    center: Tensor

    def __init__(self, center: Tensor) -> None:
        super().__init__()
        self.register_buffer("center", center.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        return features - self.center


class _Unit(nn.Module):
    """Scale every chunk of a vector to unit length."""

    def __init__(self, n_chunks: int = 1) -> None:
        super().__init__()
        self.n_chunks = n_chunks

    def forward(self, features: Tensor) -> Tensor:
        if self.n_chunks == 1:
            return unit(features)
        chunks = torch.unflatten(features, 1, (self.n_chunks, -1))
        return unit(chunks).flatten(1)


class _Map(nn.Module):
    """Multiply by a matrix."""

    map: Tensor

    def __init__(self, map: Tensor) -> None:
        super().__init__()
        self.register_buffer("map", map.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.map


class StackedHead(nn.Module):
    """Logits of one matrix product, or the log of a mean of their softmaxes.

    Parameters
    ----------
    weights
        One matrix per member: [n_members, n_classes, n_features after `steps`].
    biases
        Their shifts, [n_members, n_classes]; None for none.
    shares
        Weight of every member's probabilities in the mean, [n_members], with sum 1;
        None for the logits of a single member.
    steps
        What features go through before.

    Examples
    --------
    >>> import torch
    >>> weights = torch.stack([torch.eye(2), -torch.eye(2)])
    >>> head = StackedHead(weights, shares=torch.tensor([0.5, 0.5]))
    >>> head(torch.tensor([[1.0, 0.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """

    weight: Tensor
    bias: Tensor | None
    log_shares: Tensor | None

    def __init__(
        self,
        weights: Float[Tensor, "n_members n_classes n_features"],
        biases: Float[Tensor, "n_members n_classes"] | None = None,
        *,
        shares: Float[Tensor, " n_members"] | None = None,
        steps: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.n_members, self.n_classes, _ = weights.shape
        if shares is None and self.n_members != 1:
            raise ValueError(
                f"shares must be given for more than one member; got {self.n_members} "
                "members."
            )
        self.register_buffer("weight", weights.detach().flatten(0, 1).clone())
        self.register_buffer(
            "bias", None if biases is None else biases.detach().flatten().clone()
        )
        self.register_buffer("log_shares", None if shares is None else shares.log())
        self.steps = nn.Sequential(*steps)

    @property
    def n_features(self) -> int:
        """Length of a feature vector before the steps."""
        maps = [step.map for step in self.steps if isinstance(step, _Map)]
        return maps[0].shape[0] if maps else self.weight.shape[1]

    def forward(
        self, features: Float[Tensor, "n_samples n_features"]
    ) -> Float[Tensor, "n_samples n_classes"]:
        """Return the logits, or log-probabilities, of raw features."""
        features = self.steps(features.to(self.weight.dtype))
        logits = F.linear(features, self.weight, self.bias)
        if self.log_shares is None:
            return logits
        # [n_samples, n_members, n_classes]
        members = torch.unflatten(logits, 1, (self.n_members, self.n_classes))
        logs = members.log_softmax(dim=2) + self.log_shares[:, None]
        return logs.logsumexp(dim=1)


class _Mixture(nn.Module):
    """An ensemble whose members see different features."""

    log_size: Tensor

    def __init__(self, head: EnsembleHead) -> None:
        super().__init__()
        self.n_classes, self.n_features = head.n_classes, head.n_features
        self.members = nn.ModuleList(collapse(member) for member in _parts(head))
        # A tensor: torch.onnx writes a number of Python in float32.
        size = next(head.parameters()).new_tensor(math.log(len(head.members)))
        self.register_buffer("log_size", size)

    def forward(self, features: Tensor) -> Tensor:
        logs = [member(features).log_softmax(dim=1) for member in self.members]
        # Not logaddexp: ONNX has none, and its exponentials would underflow.
        return torch.stack(logs).logsumexp(dim=0) - self.log_size


@dataclass(frozen=True)
class _Member:
    """Logits that are linear after some steps, and their share of the mean."""

    steps: tuple[nn.Module, ...]
    weight: Tensor
    bias: Tensor | None
    share: float | None = None  # None for logits that are not averaged


@torch.no_grad()
def collapse(head: Head) -> nn.Module:
    """Return a module with the same output and as few matrix products as there can be.

    It is a `StackedHead` if every member is linear in the same features, after the same
    centering, map and normalisation; members of nested ensembles are weighted by their
    share. Another head is copied, with its parts collapsed.

    Examples
    --------
    >>> import torch
    >>> members = [CosineHead(torch.eye(2)), CosineHead(-torch.eye(2), 4.0)]
    >>> collapse(EnsembleHead(members)).weight
    tensor([[16.,  0.],
            [ 0., 16.],
            [-4., -0.],
            [-0., -4.]])
    """
    members = _members(head)
    if members is not None and _alike(members):
        return _stacked(members)
    if isinstance(head, EnsembleHead):
        return _Mixture(head)
    copied = copy.deepcopy(head)
    if isinstance(head, AffineHead | DisAlignHead | WhitenedHead):
        copied.register_module("head", collapse(head.head))
    return copied


def _parts(head: EnsembleHead) -> list[Head]:
    return cast(list[Head], list(head.members))


def _members(head: Head) -> list[_Member] | None:
    """Return what a head's output is the mean of; None if it is no such mean."""
    if isinstance(head, LinearHead | CosineHead):
        return [_linear(linear_form(head))]
    if isinstance(head, CausalNormHead):
        return [_Member((_Unit(head.n_chunks),), _causal_weight(head), None)]
    if isinstance(head, AffineHead):
        inner = _members(head.head)
        if inner is None or inner[0].share is not None:
            return None
        return [_scaled(inner[0], head.scale, head.bias)]
    if isinstance(head, WhitenedHead):
        inner = _members(head.head)
        first = [_Unit()] if head.normalize else []
        steps = (*first, _Center(head.center), _Map(head.map))
        return inner and [replace(m, steps=(*steps, *m.steps)) for m in inner]
    if isinstance(head, EnsembleHead):
        return _averaged([_members(part) for part in _parts(head)])
    return None


def _linear(head: LinearHead) -> _Member:
    steps: list[nn.Module] = [] if head.center is None else [_Center(head.center)]
    if head.normalize:
        steps.append(_Unit())
    return _Member(tuple(steps), head.weight, head.bias)


def _causal_weight(head: CausalNormHead) -> Tensor:
    """Return the matrix of a causal-norm head, which is linear in unit chunks."""
    axes = torch.eye(head.n_features, dtype=torch.float64, device=head.weight.device)
    logits = causal_norm_logits(
        axes,
        head.weight.double(),
        n_chunks=head.n_chunks,
        direction=head.direction.double(),
        alpha=head.alpha,
    )
    return logits.T.to(head.weight.dtype)


def _scaled(member: _Member, scale: Tensor, bias: Tensor) -> _Member:
    if member.bias is not None:
        bias = torch.addcmul(bias, member.bias, scale)
    return replace(member, weight=scale[:, None] * member.weight, bias=bias)


def _averaged(parts: list[list[_Member] | None]) -> list[_Member] | None:
    members = []
    for part in parts:
        if part is None:
            return None
        for member in part:
            share = 1.0 if member.share is None else member.share
            members.append(replace(member, share=share / len(parts)))
    return members


def _alike(members: list[_Member]) -> bool:
    """Tell whether all members are linear in the same features."""
    first = members[0]
    return all(
        member.weight.dtype == first.weight.dtype
        and len(member.steps) == len(first.steps)
        and all(map(_same, member.steps, first.steps))
        for member in members[1:]
    )


def _same(step: nn.Module, other: nn.Module) -> bool:
    if isinstance(step, _Unit) and isinstance(other, _Unit):
        return step.n_chunks == other.n_chunks
    mine, theirs = step.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        torch.equal(mine[name], theirs[name]) for name in mine
    )


def _stacked(members: list[_Member]) -> StackedHead:
    weights = torch.stack([member.weight for member in members])
    biases = None
    if any(member.bias is not None for member in members):
        none = weights.new_zeros(weights.shape[1])
        biases = torch.stack([none if m.bias is None else m.bias for m in members])
    shares = [member.share for member in members if member.share is not None]
    return StackedHead(
        weights,
        biases,
        shares=weights.new_tensor(shares) if shares else None,
        steps=members[0].steps,
    )
