"""Features of images from a frozen backbone: in memory, or as a folder of shards."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from headtail.datasets import ImageSet, Preprocessing, batches_in_order
from headtail.features.columns import Columns
from headtail.features.feature_set import FeatureSet
from headtail.features.files import save_columns
from headtail.files import written_whole
from headtail.progress import counter
from headtail.tensors import fingerprint, shown

__all__ = ["Extraction", "extract", "extract_to_folder", "source_of", "views_of"]

_SPEC = "extraction.json"
_SHARD_ROWS = 8192
_VIEWS = (1, 2, 10)


@dataclass(frozen=True)
class Extraction:
    """What an extraction came to.

    Attributes
    ----------
    folder
        Where the shards are.
    n_images, n_damaged
        Images in the shards, and images that could not be read and were left out.
    images_per_s
        Of what this call did; NaN if everything was there.
    """

    folder: Path
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
        for part, _ in _forward(backbone, batches, preprocessing, views, bf16):
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
    shard_rows: int = _SHARD_ROWS,
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
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    spec = {
        "backbone": _weights_of(backbone),
        "images": data.fingerprint(),
        "preprocessing": preprocessing.spec(),
        "views": views,
        "bf16": bf16,
        "shard_rows": shard_rows,
    }
    _check(data, views)
    _open_partial(folder, partial, json.loads(json.dumps(spec)))
    begin, done, n_images = time.monotonic(), 0, 0
    with counter(len(data), "extracting features") as advance:

        def note(more: int) -> None:
            nonlocal done
            done += more
            speed = done / (time.monotonic() - begin)
            advance(more, f"extracting features, {speed:,.0f} images/s")

        for start in range(0, len(data), shard_rows):
            rows = np.arange(start, min(start + shard_rows, len(data)))
            shard = partial / f"part-{start // shard_rows:05d}.safetensors"
            if _rows_in(shard) == len(rows) or (skip_damaged and _rows_in(shard)):
                advance(len(rows))
            else:
                batches = batches_in_order(
                    data,
                    rows,
                    preprocessing,
                    batch_size=batch_size,
                    n_workers=n_workers,
                    skip_damaged=skip_damaged,
                )
                parts = _forward(backbone, batches, preprocessing, views, bf16)
                columns = _columns_of(data, parts, note)
                if columns is not None:
                    save_columns(shard, columns)
            n_images += _rows_in(shard)
    if not n_images:
        raise ValueError(
            f"An image must be readable; none of {len(data)} is. Check the files."
        )
    seconds = time.monotonic() - begin
    partial.replace(folder)
    speed = done / seconds if done else float("nan")
    return Extraction(folder, n_images, len(data) - n_images, speed)


def source_of(folder: str | os.PathLike[str]) -> str:
    """Return the `ImageSet.fingerprint` of the images that were extracted."""
    return str(json.loads((Path(folder) / _SPEC).read_text())["images"])


def views_of(images: Tensor, views: int) -> Iterator[Tensor]:
    """Yield uint8 images [n, height, width, 3] in each of the views, see `extract`.

    What a shift uncovers repeats the pixels at the edge.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([1, 2, 3]).reshape(1, 1, 3, 1)
    >>> [view.flatten().tolist() for view in views_of(image, 2)]
    [[1, 2, 3], [3, 2, 1]]
    """
    if views not in _VIEWS:
        raise ValueError(f"views must be one of {_VIEWS}; got {views}.")
    height, width = images.shape[1:3]
    down, right = height // 8, width // 8
    shifts = [(0, 0)]
    if views == 10:
        shifts += [(y, x) for y in (-down, down) for x in (-right, right)]
    for y, x in shifts:
        shifted = images
        if (y, x) != (0, 0):
            rows = torch.arange(height, device=images.device) + y
            columns = torch.arange(width, device=images.device) + x
            shifted = images[:, rows.clamp(0, height - 1)]
            shifted = shifted[:, :, columns.clamp(0, width - 1)]
        yield shifted
        if views > 1:
            yield shifted.flip(2)


@torch.no_grad()
def _forward(
    backbone: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    preprocessing: Preprocessing,
    views: int,
    bf16: bool,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the float32 features of every batch, on the processor, and its rows."""
    first = next(backbone.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    training = [module for module in backbone.modules() if module.training]
    backbone.eval()
    try:
        for images, rows in batches:
            total: Any = 0
            for view in views_of(images.to(device, non_blocking=True), views):
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    features = backbone(preprocessing.normalize(view))
                if features.ndim != 2:
                    raise ValueError(
                        "The backbone must give features [n_images, n_features]; it "
                        f"gave shape {list(features.shape)}. Pool them first."
                    )
                total = total + features.float()
            yield (total / views).cpu(), rows
    finally:
        for module in training:
            module.training = True


def _columns_of(
    data: ImageSet,
    parts: Iterator[tuple[Tensor, Tensor]],
    note: Callable[[int], None],
) -> Columns | None:
    """Return features and labels of what could be read; None if nothing could."""
    features, kept = [], []
    for part, rows in parts:
        features.append(part)
        kept.append(rows)
        note(len(part))
    if not features:
        return None
    labels = data.labels[torch.cat(kept).numpy()]
    return Columns(torch.cat(features).numpy(), labels, data.class_names)


def _check(data: ImageSet, views: int) -> None:
    if views not in _VIEWS:
        raise ValueError(f"views must be one of {_VIEWS}; got {views}.")
    if not len(data):
        raise ValueError("data must hold an image; it holds none.")


def _open_partial(folder: Path, partial: Path, spec: dict[str, Any]) -> None:
    """Make the folder of shards, or check that the one there is of the same work."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; choose a new folder.")
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"The folder of {folder} must exist; make it first.")
    file = partial / _SPEC
    if not file.exists():
        partial.mkdir(exist_ok=True)
        with written_whole(file) as temporary:
            temporary.write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n")
        return
    # What a call that was killed while it wrote a shard left behind.
    for half_written in partial.glob(".*"):
        shutil.rmtree(half_written)
    there = json.loads(file.read_text())
    other = [key for key in spec if there.get(key) != spec[key]]
    if other:
        raise FileExistsError(
            f"{partial} holds the beginning of another extraction: {shown(other)} "
            "differ. Remove it to begin anew, or choose another folder."
        )


def _rows_in(shard: Path) -> int:
    if not shard.exists():
        return 0
    with safe_open(shard, framework="np") as file:
        return int(file.get_slice("labels").get_shape()[0])


def _weights_of(backbone: nn.Module) -> str:
    return fingerprint(
        *[value.cpu().float().numpy() for value in backbone.state_dict().values()]
    )
