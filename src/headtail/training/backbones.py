"""Backbones: from images to features, ours and all of timm's."""

import difflib
import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headtail.datasets import Preprocessing
from headtail.files import existing_file
from headtail.tensors import shown
from headtail.torchvision_operators import import_torchvision
from headtail.training.parts import last_block_of
from headtail.training.small_resnet import SmallResNet
from headtail.training.weights import load_weights

__all__ = ["Backbone", "backbone_names", "build_backbone"]

Three = tuple[float, float, float]
Interpolation = Literal["bilinear", "bicubic"]

# Blocks per stage; depth 6n + 2.
_SMALL_RESNETS = {"resnet20": 3, "resnet32": 5, "resnet44": 7}
_OURS = ("resnet10", *_SMALL_RESNETS)
# Of CIFAR-10's training images, as the long-tailed literature has them.
_CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
_CIFAR_STD = (0.2023, 0.1994, 0.2010)


class Backbone(nn.Module):
    """A network from normalised images to one feature vector each.

    Parameters
    ----------
    network
        Module from images [n_samples, 3, height, width] to features.
    name
        What `build_backbone` calls it.
    n_features
        Length of a feature vector.
    image_size
        Height and width that it was made for; None for any.
    mean, std
        Per channel, what images must be normalised with.
    crop_fraction
        Part of a test image's shorter side that the centre crop keeps.
    interpolation
        How test images are resized.
    width
        Factor of the channels that it was built with.

    Examples
    --------
    >>> import torch
    >>> backbone = build_backbone("resnet20")
    >>> backbone(torch.zeros(2, 3, 32, 32)).shape, backbone.n_features
    (torch.Size([2, 64]), 64)
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        n_features: int,
        image_size: int | None,
        mean: Three,
        std: Three,
        crop_fraction: float,
        interpolation: Interpolation = "bilinear",
        width: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.n_features = n_features
        self.image_size = image_size
        self.mean = mean
        self.std = std
        self.crop_fraction = crop_fraction
        self.interpolation = interpolation
        self.width = width

    def forward(
        self, images: Float[Tensor, "n_samples 3 height width"]
    ) -> Float[Tensor, "n_samples n_features"]:
        """Return the features of normalised images."""
        features: Tensor = self.network(images)
        if features.shape[1:] != (self.n_features,):
            raise ValueError(
                f"{self.name} must give {self.n_features} features per image; it gave "
                f"shape {list(features.shape[1:])}. Choose a model that pools them."
            )
        return features

    @property
    def last_block(self) -> list[nn.Module]:
        """What "last-block" trains beside the classifier: see `last_block_of`."""
        return last_block_of(self.network, self.name)

    @property
    def preprocessing(self) -> Preprocessing:
        """What its test images go through; without an image size nothing is resized."""
        size = self.image_size
        return Preprocessing(
            mean=self.mean,
            std=self.std,
            size=size,
            resize=None if size is None else int(size / self.crop_fraction),
            interpolation=self.interpolation,
        )

    def spec(self) -> dict[str, Any]:
        """Return what `build_backbone` needs to build it again, as JSON."""
        return {"name": self.name, "width": self.width}

    def extra_repr(self) -> str:
        """Show name and size."""
        return f"name={self.name!r}, n_features={self.n_features}"


def backbone_names(pattern: str = "*") -> list[str]:
    """Return the names that `build_backbone` knows and a shell pattern matches.

    Examples
    --------
    >>> backbone_names("resnet[1-3]?")
    ['resnet10', 'resnet18', 'resnet20', 'resnet26', 'resnet32', 'resnet34']
    """
    names = {*_OURS, *_import_timm().list_models()}
    return sorted(fnmatch.filter(names, pattern))


def build_backbone(
    name: str,
    *,
    weights: str | Path | None = None,
    width: int = 1,
    seed: int = 0,
) -> Backbone:
    """Return a backbone, with random or given weights, on the CPU.

    The global random state is left as it was.

    Parameters
    ----------
    name
        ``"resnet20"``, ``"resnet32"`` or ``"resnet44"`` for small images,
        ``"resnet10"``, or a model of timm.
    weights
        None for random ones; ``"hub"`` for those that timm downloads; or a file, a
        safetensors file or what `torch.load` reads without running code. A wrapper such
        as ``{"state_dict": …}`` and a prefix such as ``module.encoder_q.`` are taken
        off; classifier and projection head are left out. All else must fit.
    width
        Factor of the channels; for the ResNets for small images only.
    seed
        Of the random weights.

    Examples
    --------
    >>> backbone = build_backbone("resnet32")
    >>> sum(p.numel() for p in backbone.parameters())
    463504
    """
    if name not in _SMALL_RESNETS and width != 1:
        raise ValueError(
            f"width must be 1, except for {shown(_SMALL_RESNETS)}; got {width} for "
            f"{name!r}. Choose a wider model of timm."
        )
    hub = weights == "hub"
    if hub and name in _OURS:
        raise ValueError(f"{name} has no weights on the hub; pass a file or None.")
    with _seeded(seed):
        small = name in _SMALL_RESNETS
        backbone = _small(name, width) if small else _of_timm(name, hub=hub)
    if weights is not None and not hub:
        load_weights(backbone.network, existing_file(weights), name)
    return backbone


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a seed of its own, on the CPU whatever the default device is."""
    # Not torch.manual_seed: it would seed every accelerator too, for good.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def _small(name: str, width: int) -> Backbone:
    network = SmallResNet(_SMALL_RESNETS[name], width=width)
    return Backbone(
        network,
        name=name,
        n_features=network.n_features,
        image_size=None,
        mean=_CIFAR_MEAN,
        std=_CIFAR_STD,
        crop_fraction=1.0,
        width=width,
    )


def _of_timm(name: str, *, hub: bool) -> Backbone:
    timm = _import_timm()
    if name == "resnet10":
        resnet = timm.models.resnet
        # Unlike timm's own, and like the public code, the last norms start at 1.
        network = resnet.ResNet(
            resnet.BasicBlock, (1, 1, 1, 1), num_classes=0, zero_init_last=False
        )
    else:
        _check_known(name, timm)
        network = (
            _from_hub(name, timm) if hub else timm.create_model(name, num_classes=0)
        )
    data = timm.data.resolve_model_data_config(network)
    _, height, width = data["input_size"]
    if height != width:
        raise ValueError(
            f"{name} must take square images; it takes {height} by {width} pixels. "
            "Choose another model."
        )
    return Backbone(
        network,
        name=name,
        # Some models have a layer between the last maps (num_features) and the output.
        n_features=getattr(network, "head_hidden_size", network.num_features),
        image_size=height,
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        crop_fraction=data["crop_pct"],
        interpolation="bilinear" if data["interpolation"] == "bilinear" else "bicubic",
    )


def _check_known(name: str, timm: ModuleType) -> None:
    tagged = "." in name
    if name in timm.list_pretrained() if tagged else timm.is_model(name):
        return
    known = [*_OURS, *(timm.list_pretrained() if tagged else timm.list_models())]
    longer = sorted(other for other in known if name and other.startswith(name))
    near = dict.fromkeys([*longer[:2], *difflib.get_close_matches(name, known, n=3)])
    raise ValueError(
        f"name must be one of {shown(_OURS)} or a model of timm {timm.__version__}; "
        f"got {name!r}. Near it: {shown(near)}; backbone_names() lists all."
    )


def _from_hub(name: str, timm: ModuleType) -> nn.Module:
    if not timm.models.is_model_pretrained(name):
        raise ValueError(f"{name} has no weights on the hub; pass a file or None.")
    try:
        network: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the clients of the hub have many errors of their own
        raise ConnectionError(
            f"The weights of {name} must come from the hub; fetching them failed "
            f"({type(error).__name__}). Without a network, pass the file instead: "
            "weights='path/to/model.safetensors'."
        ) from error
    return network


def _import_timm() -> ModuleType:
    import_torchvision()
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ImportError(
            "timm must be installed for this backbone; it is not. Install it: "
            "pip install 'headtail[vision]'."
        ) from error
    return timm
