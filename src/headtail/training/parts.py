"""Which parts of a network are trained: all, slowly, the last block, the classifier."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import nn

from headtail.heads import Head

if TYPE_CHECKING:
    from headtail.training.backbones import Backbone

__all__ = ["TrainedParts", "last_block_of", "parameter_groups", "set_training_mode"]

TrainedParts = Literal["all", "all-slow", "last-block", "classifier"]

# Of "all-slow": a tenth of the learning rate, as in the ablation of Decoupling.
_SLOW = 0.1


def parameter_groups(
    backbone: "Backbone",
    head: Head,
    parts: TrainedParts,
    *,
    learning_rate: float,
    classifier_learning_rate: float | None = None,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Return an optimizer's groups for what is trained; freeze the rest.

    Sets ``requires_grad`` of every parameter. A learned scale of the head gets no
    weight decay: it is a temperature, not a weight that could be shrunk without loss.

    Parameters
    ----------
    backbone, head
        The network, in two parts.
    parts
        ``"all"``; ``"all-slow"``, with every learning rate times 0.1; ``"last-block"``
        and the classifier; ``"classifier"`` alone.
    learning_rate
        Of the backbone; of the head too, unless it has its own.
    classifier_learning_rate
        Of the head; None for that of the backbone.
    weight_decay
        Of all other parameters.

    Examples
    --------
    >>> import torch
    >>> from headtail.heads import CosineHead
    >>> from headtail.training.backbones import build_backbone
    >>> backbone, head = build_backbone("resnet20"), CosineHead(torch.ones(10, 64))
    >>> groups = parameter_groups(
    ...     backbone, head, "last-block", learning_rate=0.1, weight_decay=5e-4
    ... )
    >>> [(g["name"], len(g["params"]), g["weight_decay"]) for g in groups]
    [('backbone', 18, 0.0005), ('classifier', 1, 0.0005), ('scale', 1, 0.0)]
    """
    _check(parts)
    if head.n_features != backbone.n_features:
        raise ValueError(
            f"The head must take {backbone.n_features} features, those of "
            f"{backbone.name}; it takes {head.n_features}. Build it for this backbone."
        )
    if classifier_learning_rate is None:
        classifier_learning_rate = learning_rate
    rates = {
        "learning_rate": learning_rate,
        "classifier_learning_rate": classifier_learning_rate,
    }
    for name, rate in rates.items():
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError(f"{name} must be positive and finite; got {rate}.")
    if not (weight_decay >= 0 and math.isfinite(weight_decay)):
        raise ValueError(
            f"weight_decay must be at least 0 and finite; got {weight_decay}."
        )

    factor = _SLOW if parts == "all-slow" else 1.0
    trained = _trained_modules(backbone, parts)
    backbone.requires_grad_(False)
    for module in trained:
        module.requires_grad_(True)
    head.requires_grad_(True)

    inner = [p for p in backbone.parameters() if p.requires_grad]
    scales = [m.scale for m in head.modules() if hasattr(m, "scale")]
    kept = {id(scale) for scale in scales}
    weights = [p for p in head.parameters() if id(p) not in kept]
    scales = [p for p in head.parameters() if id(p) in kept]
    groups = [
        ("backbone", inner, learning_rate, weight_decay),
        ("classifier", weights, classifier_learning_rate, weight_decay),
        ("scale", scales, classifier_learning_rate, 0.0),
    ]
    return [
        {"name": name, "params": params, "lr": factor * rate, "weight_decay": decay}
        for name, params, rate, decay in groups
        if params
    ]


def set_training_mode(backbone: "Backbone", parts: TrainedParts) -> None:
    """Put what is trained into training mode and the rest into evaluation mode.

    Unlike in the public code of Decoupling, a frozen batch norm keeps its statistics:
    in training mode it would go on to learn those of the class-balanced stage 2.

    Examples
    --------
    >>> from headtail.training.backbones import build_backbone
    >>> backbone = build_backbone("resnet20")
    >>> set_training_mode(backbone, "last-block")
    >>> backbone.network.layer2.training, backbone.network.layer3.training
    (False, True)
    """
    _check(parts)
    backbone.eval()
    for module in _trained_modules(backbone, parts):
        module.train()


def last_block_of(network: nn.Module, name: str) -> list[nn.Module]:
    """Return the last block of a network, and all that comes after it.

    That is the last stage of a ResNet or another network with stages, and the last
    block with the final norm of a vision transformer. A network tells its blocks in
    `feature_info`, as timm's do; it must define its parts in the order of their use.

    Raises
    ------
    ValueError
        If the network does not tell its blocks.

    Examples
    --------
    >>> from headtail.training.small_resnet import SmallResNet
    >>> network = SmallResNet(3)
    >>> last_block_of(network, "resnet20") == [network.layer3]
    True
    """
    modules = dict(network.named_modules())
    told = [info["module"] for info in getattr(network, "feature_info", [])]
    if told and told[-1] in modules:
        for path in _backwards(modules, told):
            if _is_block(modules[path]):
                return _from_there_on(modules, path)
    raise ValueError(
        f"{name} must tell its blocks (feature_info) for the last one to be trained "
        'alone; it does not. Train "all" or "classifier".'
    )


def _backwards(modules: dict[str, nn.Module], told: list[str]) -> Iterator[str]:
    """From the last module that is told, go back along its siblings.

    It may be a lone last layer, with the last stage before it. A sibling that holds
    the stages is gone through stage by stage.
    """
    parent, _, last = told[-1].rpartition(".")
    names = [name for name, _ in modules[parent].named_children()]
    for name in reversed(names[: names.index(last) + 1]):
        path = f"{parent}.{name}" if parent else name
        if any(other.startswith(f"{path}.") for other in told):
            inner = [f"{path}.{child}" for child, _ in modules[path].named_children()]
            yield from reversed(inner)
        else:
            yield path


def _is_block(module: nn.Module) -> bool:
    """Whether it has two layers or more."""
    return sum(isinstance(m, nn.Conv2d | nn.Linear) for m in module.modules()) > 1


def _from_there_on(modules: dict[str, nn.Module], path: str) -> list[nn.Module]:
    """Return the module at `path` and what is defined after it, if it has a state."""
    found = [modules[path]]
    while path:
        path, _, name = path.rpartition(".")
        siblings = dict(modules[path].named_children())
        names = list(siblings)
        found += [siblings[later] for later in names[names.index(name) + 1 :]]
    return [module for module in found if module.state_dict()]


def _trained_modules(backbone: "Backbone", parts: TrainedParts) -> list[nn.Module]:
    if parts == "classifier":
        return []
    return backbone.last_block if parts == "last-block" else [backbone]


def _check(parts: str) -> None:
    if parts not in get_args(TrainedParts):
        raise ValueError(
            f"parts must be one of {list(get_args(TrainedParts))}; got {parts!r}."
        )
