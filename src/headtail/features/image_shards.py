"""The shards of an extraction: which rows, from which work, and what is in them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headtail.datasets import ImageSet, Preprocessing, batches_in_order
from headtail.features.columns import Columns
from headtail.features.forward import forward
from headtail.features.partial_folder import shard_name
from headtail.tensors import fingerprint

__all__ = ["extract_columns", "row_shards", "spec_of"]


def row_shards(
    n_rows: int, shard_rows: int
) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Yield the name of every shard and the rows that belong into it.

    Examples
    --------
    >>> [(name, rows.tolist()) for name, rows in row_shards(3, 2)]
    [('part-00000.safetensors', [0, 1]), ('part-00001.safetensors', [2])]
    """
    for start in range(0, n_rows, shard_rows):
        rows = np.arange(start, min(start + shard_rows, n_rows))
        yield shard_name(start // shard_rows), rows


def spec_of(
    backbone: nn.Module,
    images: str,
    *,
    preprocessing: Preprocessing,
    views: int,
    bf16: bool,
    shard_rows: int | None,
) -> dict[str, Any]:
    """Return what shards depend on, as JSON: two works with the same spec are one.

    Parameters
    ----------
    images
        What tells the images apart, such as `ImageSet.fingerprint`.
    shard_rows
        Images per shard; None if the images come in shards. For the other parameters
        see `extract`.
    """
    weights = backbone.state_dict().values()
    return {
        "backbone": fingerprint(*[value.cpu().float().numpy() for value in weights]),
        "images": images,
        "preprocessing": preprocessing.spec(),
        "views": views,
        "bf16": bf16,
        "shard_rows": shard_rows,
    }


def extract_columns(
    backbone: nn.Module,
    data: ImageSet,
    rows: npt.NDArray[np.int64],
    *,
    preprocessing: Preprocessing,
    views: int = 1,
    batch_size: int = 256,
    bf16: bool = False,
    n_workers: int = 0,
    skip_damaged: bool = False,
    note: Callable[[int], None] | None = None,
) -> Columns | None:
    """Return features and labels of some rows, those of one shard; None if of none.

    Parameters
    ----------
    rows
        Which images, in which order. For the other parameters see `extract_to_folder`.
    note
        Called with the number of images after every batch.
    """
    batches = batches_in_order(
        data,
        rows,
        preprocessing,
        batch_size=batch_size,
        n_workers=n_workers,
        skip_damaged=skip_damaged,
    )
    features, kept = [], []
    for part, part_rows in forward(backbone, batches, preprocessing, views, bf16):
        features.append(part)
        kept.append(part_rows)
        if note is not None:
            note(len(part))
    if not features:
        return None
    labels = data.labels[torch.cat(kept).numpy()]
    return Columns(torch.cat(features).numpy(), labels, data.class_names)
