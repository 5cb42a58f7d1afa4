"""A worker that extracts one shard at a time, wherever it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from headtail.datasets import ImageSet, Preprocessing, load_images
from headtail.features.columns import Columns
from headtail.features.files import save_columns
from headtail.features.image_shards import extract_columns
from headtail.features.partial_folder import PartialFolder
from headtail.scale.addresses import Shard, local_file
from headtail.scale.remote_folder import RemoteFolder
from headtail.tensors import fingerprint
from headtail.training import Backbone, build_backbone, checked_device

__all__ = ["Extractor", "Work", "packed", "save_shard"]

Folder = PartialFolder | RemoteFolder


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a worker needs to know; no part of it is run as code.

    Attributes
    ----------
    backbone, weights
        Its `spec`, and its state as the bytes of a safetensors file.
    output
        Where shards go.
    images, root, fingerprint
        Arguments of `load_images` and what its result must have, where all shards are
        cut from one data set; without meaning where each item names its own images.
    device
        Where the backbone works, see `checked_device`.
    preprocessing, views, batch_size, bf16, n_workers, skip_damaged
        See `features.extract_to_folder`.
    """

    backbone: Mapping[str, Any]
    weights: bytes
    output: Folder
    images: str = ""
    root: str | None = None
    fingerprint: str = ""
    device: str
    preprocessing: Preprocessing
    views: int
    batch_size: int
    bf16: bool
    n_workers: int
    skip_damaged: bool


def packed(backbone: Backbone) -> dict[str, Any]:
    """Return the parts of `Work` that describe a backbone."""
    state = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in backbone.state_dict().items()
    }
    return {"backbone": backbone.spec(), "weights": save(state)}


def save_shard(output: Folder, shard: str, columns: Columns) -> None:
    """Write a shard to where it belongs; it appears whole."""
    if isinstance(output, RemoteFolder):
        output.save(shard, columns)
    else:
        save_columns(output.path(shard), columns)


class Extractor:
    """Holds a backbone and turns items into shards of features.

    Parameters
    ----------
    work
        What is to be done.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        backbone = build_backbone(**work.backbone)
        backbone.load_state_dict(load(work.weights))
        backbone.to(checked_device(work.device))
        # Convolutions are faster on pixels whose channels lie side by side.
        self._backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._data: ImageSet | None = None

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Write the shard that `item` names; return what is in it."""
        if "source" in item:
            with local_file(Shard(*item["source"])) as path:
                data = load_images(path)
            rows = np.arange(len(data))
        else:
            data, rows = self._opened(), np.arange(item["start"], item["stop"])
        work = self._work
        columns = extract_columns(
            self._backbone,
            data,
            rows,
            preprocessing=work.preprocessing,
            views=work.views,
            batch_size=work.batch_size,
            bf16=work.bf16,
            n_workers=work.n_workers,
            skip_damaged=work.skip_damaged,
        )
        if columns is not None:
            save_shard(work.output, item["shard"], columns)
        names = "\n".join(data.class_names or ())
        return {
            "shard": item["shard"],
            "n_images": 0 if columns is None else len(columns.features),
            "class_names": fingerprint(np.frombuffer(names.encode(), np.uint8)),
        }

    def _opened(self) -> ImageSet:
        """Return the data set that all shards are cut from, read once."""
        work = self._work
        if self._data is None:
            data = load_images(work.images, work.root)
            if data.fingerprint() != work.fingerprint:
                raise ValueError(
                    f"{work.images} must hold the same images on every machine; this "
                    "one finds others. Choose a place that all share."
                )
            self._data = data
        return self._data
