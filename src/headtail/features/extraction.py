"""Features of images from a frozen backbone: in memory, or as a folder of shards."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headtail.datasets import ImageSet, Preprocessing, batches_in_order
from headtail.features.feature_set import FeatureSet
from headtail.features.files import save_columns
from headtail.features.forward import check_views, forward
from headtail.features.image_shards import extract_columns, row_shards, spec_of
from headtail.features.partial_folder import SPEC, PartialFolder
from headtail.files import only_writer
from headtail.progress import counter

__all__ = ["SHARD_ROWS", "Extraction", "extract", "extract_to_folder", "source_of"]

SHARD_ROWS = 8192


@dataclass(frozen=True)
class Extraction:
    """What an extraction came to.

    Attributes
    ----------
    folder
        Where the shards are; an address (``s3://…``) as text.
    n_images, n_damaged
        Images in the shards, and images that could not be read and were left out.
    images_per_s
        Of what this call did; NaN if everything was there.
    """

    folder: Path | str
    n_images: int
    n_damaged: int
    images_per_s: float


def extract(
    backbone: nn.Module,
    data: ImageSet,
    *,
    preprocessing: Preprocessing,
    views: int = 1,
    batch_size: int = 256,
    bf16: bool = False,
    n_workers: int = 0,
) -> FeatureSet:
    """Return the features of images, in memory.

    The network works in evaluation mode on the device where it is; the mode of each of
    its modules is put back afterwards.

    Parameters
    ----------
    backbone
        From normalised images [n, 3, height, width] to features [n, n_features].
    data
        The images.
    preprocessing
        What they go through before.
    views
        1: every image as it is. 2: and mirrored. 10: and shifted by an eighth towards
        each corner, too. The features of the views are averaged: one row per image.
    batch_size
        Images at a time.
    bf16
        Compute in bfloat16 where torch deems that safe; features are float32.
    n_workers
        Processes that read images while the network computes.

    Examples
    --------
    >>> pixels = np.full((2, 4, 4, 3), 255, np.uint8)
    >>> plain = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))
    >>> extract(nn.Flatten(), ImageSet(pixels, [0, 1]), preprocessing=plain)
    FeatureSet(n_samples=2, n_features=48)
    """
    _check(data, views)
    batches = batches_in_order(
        data,
        np.arange(len(data)),
        preprocessing,
        batch_size=batch_size,
        n_workers=n_workers,
    )
    with counter(len(data), "extracting features") as advance:
        features = []
        for part, _ in forward(backbone, batches, preprocessing, views, bf16):
            features.append(part)
            advance(len(part))
    return FeatureSet(torch.cat(features), data.labels, data.class_names)


def extract_to_folder(
    backbone: nn.Module,
    data: ImageSet,
    folder: str | os.PathLike[str],
    *,
    preprocessing: Preprocessing,
    views: int = 1,
    batch_size: int = 256,
    bf16: bool = False,
    n_workers: int = 0,
    skip_damaged: bool = False,
    shard_rows: int = SHARD_ROWS,
) -> Extraction:
    """Write the features of images as a folder of shards; `FeatureSet.load` reads it.

    The folder appears when it is whole. Until then its shards lie in a hidden folder
    beside it; a call that is broken off goes on after its last whole shard.

    Parameters
    ----------
    folder
        New. For the other parameters see `extract`.
    skip_damaged
        Leave out files that are no whole image, and count them, instead of raising. A
        call that broke off at such a file may go on with this.
    shard_rows
        Images per shard.
    """
    _check(data, views)
    spec = spec_of(
        backbone,
        data.fingerprint(),
        preprocessing=preprocessing,
        views=views,
        bf16=bf16,
        shard_rows=shard_rows,
    )
    shards = PartialFolder(folder)
    begin, done, n_images = time.monotonic(), 0, 0
    with only_writer(folder), counter(len(data), "extracting features") as advance:
        shards.begin(spec)

        def note(more: int) -> None:
            nonlocal done
            done += more
            speed = done / (time.monotonic() - begin)
            advance(more, f"extracting features, {speed:,.0f} images/s")

        for shard, rows in row_shards(len(data), shard_rows):
            there = shards.rows_in(shard)
            if there == len(rows) or (skip_damaged and there):
                advance(len(rows))
            else:
                columns = extract_columns(
                    backbone,
                    data,
                    rows,
                    preprocessing=preprocessing,
                    views=views,
                    batch_size=batch_size,
                    bf16=bf16,
                    n_workers=n_workers,
                    skip_damaged=skip_damaged,
                    note=note,
                )
                if columns is not None:
                    save_columns(shards.path(shard), columns)
            n_images += shards.rows_in(shard)
        if not n_images:
            raise ValueError(
                f"An image must be readable; none of {len(data)} is. Check the files."
            )
        seconds = time.monotonic() - begin
        shards.finish()
    speed = done / seconds if done else float("nan")
    return Extraction(shards.folder, n_images, len(data) - n_images, speed)


def source_of(folder: str | os.PathLike[str]) -> str:
    """Return the `ImageSet.fingerprint` of the images that were extracted."""
    return str(json.loads((Path(folder) / SPEC).read_text())["images"])


def _check(data: ImageSet, views: int) -> None:
    check_views(views)
    if not len(data):
        raise ValueError("data must hold an image; it holds none.")
