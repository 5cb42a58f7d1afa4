"""The last layer of an image classifier: taken out as a head, and replaced by one."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from headtail.heads.head import Classes, Head
from headtail.heads.linear import LinearHead
from headtail.tensors import shown

__all__ = ["attach", "head_of", "last_layer_name"]

# Where timm, torchvision and Hugging Face keep the classifier, the more special first.
_KNOWN = ("heads.head", "head.fc", "fc", "classifier", "head")


def last_layer_name(model: nn.Module) -> str:
    """Return the dotted name of a classifier's last layer.

    timm's models say it themselves (`pretrained_cfg["classifier"]`); in others it is
    looked for where torchvision and Hugging Face keep it: `fc`, `classifier`, `head`,
    `head.fc` or `heads.head`, and in a sequence at its end. It is a `torch.nn.Linear`
    or a head.

    Raises
    ------
    ValueError
        If no such layer is found, or several are: pass its name.

    Examples
    --------
    >>> body = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> last_layer_name(nn.ModuleDict({"body": body, "fc": nn.Linear(3, 2)}))
    'fc'
    """
    config = getattr(model, "pretrained_cfg", None)
    told = config.get("classifier") if isinstance(config, Mapping) else None
    # A distilled model has two classifiers: neither of them is the last layer.
    names = _KNOWN if told is None else (told,) if isinstance(told, str) else told
    found = [_layer_in(model, name) for name in names]
    known = sorted({name for name in found if name is not None})
    if len(known) == 1:
        return known[0]
    linear = [name for name, part in model.named_modules() if _is_layer(part)]
    raise ValueError(
        f"The last layer of {type(model).__name__} must be one torch.nn.Linear or head "
        f"under a usual name; found {known or 'none'}. Pass its name; linear layers "
        f"here are {shown(linear)}."
    )


def head_of(
    model: nn.Module, name: str | None = None, *, classes: Classes = None
) -> Head:
    """Take a copy of a model's trained last layer as a head.

    Parameters
    ----------
    model
        A timm, torchvision or Hugging Face image classifier, or any module.
    name
        Dotted name of the last layer; None to look for it, see `last_layer_name`.
    classes
        Label of every row, if known; None keeps those of a head.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> head_of(model, "1", classes=["ant", "bee", "cat"])
    LinearHead(n_features=4, n_classes=3)
    """
    layer = _layer(model, last_layer_name(model) if name is None else name)
    if isinstance(layer, nn.Linear):
        return LinearHead(layer.weight, layer.bias, classes=classes)
    if classes is None:
        return copy.deepcopy(layer)
    return layer.select(torch.arange(layer.n_classes), classes)


def attach(model: nn.Module, head: Head, name: str | None = None) -> nn.Module:
    """Put a copy of a head in the place of a model's last layer, and return the model.

    The model is changed; the head is not. The copy goes where the layer was: its
    device, and its mode of training or evaluation. timm's `num_classes` and Hugging
    Face's `config.num_labels` follow the head.

    Parameters
    ----------
    model
        A timm, torchvision or Hugging Face image classifier, or any module that hands
        features [n_samples, n_features] to its last layer.
    head
        On the features that the layer takes: `n_features` must be the layer's.
    name
        Dotted name of the last layer; None to look for it, see `last_layer_name`.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> better = LinearHead(torch.eye(4))
    >>> attach(model, better, "1")(torch.ones(1, 2, 2)).detach()
    tensor([[1., 1., 1., 1.]])
    """
    if not isinstance(head, Head):
        raise TypeError(
            f"head must be a head of headtail.heads; got {type(head).__name__}."
        )
    name = last_layer_name(model) if name is None else name
    layer = _layer(model, name)
    width = layer.in_features if isinstance(layer, nn.Linear) else layer.n_features
    if head.n_features != width:
        raise ValueError(
            f"head must take the {width} features that {name!r} takes; it takes "
            f"{head.n_features}. Fit it on features of this model."
        )
    new = copy.deepcopy(head).to(next(layer.parameters()).device)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new.train(layer.training))
    _tell_number(model, head.n_classes)
    return model


def _is_layer(part: Any) -> bool:
    return isinstance(part, nn.Linear | Head)


def _layer_in(model: nn.Module, name: str) -> str | None:
    """Return the name of the layer there, in a sequence of its last part; or None."""
    try:
        part = model.get_submodule(name)
    except AttributeError:
        return None
    if isinstance(part, nn.Sequential) and len(part):
        name, part = f"{name}.{len(part) - 1}", part[-1]
    return name if _is_layer(part) else None


def _layer(model: nn.Module, name: str) -> nn.Linear | Head:
    try:
        layer = model.get_submodule(name)
    except AttributeError as error:
        linear = [found for found, part in model.named_modules() if _is_layer(part)]
        raise ValueError(
            f"name must be that of a part of {type(model).__name__}; got {name!r}. Its "
            f"linear layers are {shown(linear)}."
        ) from error
    if not name or not isinstance(layer, nn.Linear | Head):
        raise TypeError(
            f"The last layer {name!r} must be a torch.nn.Linear or a head; it is a "
            f"{type(layer).__name__}."
        )
    return layer


def _tell_number(model: Any, n_classes: int) -> None:
    """Tell a model how many classes it has now, if it keeps the number."""
    if isinstance(getattr(model, "num_classes", None), int):
        model.num_classes = n_classes
    if hasattr(getattr(model, "config", None), "num_labels"):
        # With it Hugging Face makes new default names for the labels.
        model.config.num_labels = model.num_labels = n_classes
