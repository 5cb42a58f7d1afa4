"""Extraction of images in shards, or of one data set, on an engine of choice."""

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from headtail.datasets import Preprocessing, load_images
from headtail.features import Extraction, extract_to_folder
from headtail.features.extraction import SHARD_ROWS
from headtail.features.forward import check_views
from headtail.features.image_shards import row_shards, spec_of
from headtail.features.partial_folder import PartialFolder, shard_name
from headtail.files import only_writer
from headtail.progress import counter
from headtail.scale.addresses import fingerprint_of, is_address, list_shards
from headtail.scale.engines import Engine, check_engine, running
from headtail.scale.extractor import Extractor, Folder, Work, packed
from headtail.scale.remote_folder import RemoteFolder
from headtail.training import Backbone, checked_device

__all__ = ["extract_images"]

_SUFFIXES = (".npz",)


def extract_images(
    backbone: Backbone,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    preprocessing: Preprocessing | None = None,
    root: str | os.PathLike[str] | None = None,
    engine: str = "local",
    address: str | None = None,
    device: str = "auto",
    views: int = 1,
    batch_size: int = 256,
    bf16: bool = False,
    n_workers: int = 0,
    skip_damaged: bool = False,
) -> Extraction:
    """Write the features of images as a folder of shards, by path or by address.

    What `load_images` takes is cut into shards of 8,192 images; of a folder or an
    address of ``.npz`` files (see `image_arrays`) each becomes one shard, in the order
    of names, and no process has more than one in memory. The shards are the same
    whatever the engine, where each process has as many threads.

    A folder by path appears when it is whole. An address holds whole shards meanwhile,
    and is whole once ``extraction.json`` is there. A call that is broken off goes on
    after its whole shards.

    Parameters
    ----------
    backbone
        Of `build_backbone` or a run; it is put on the device by the local engine.
    source
        Images: a path, or an address that fsspec can open (``s3://bucket/images``).
    output
        New folder: a path, or an address.
    preprocessing
        What images go through before; None for the backbone's own.
    engine
        ``"local"`` for this process, ``"ray"`` for an actor on each processor or GPU of
        a cluster, whose machines must all reach `source` and `output`.
    address
        Of the Ray cluster; None for that in ``RAY_ADDRESS``, else for this machine.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for what is there.
    root
        See `load_images`. For the other parameters see `extract_to_folder`.
    n_workers
        Processes that read images while the network computes, of each actor.

    Raises
    ------
    OSError
        If there are no images, no cluster, or the folder exists.
    ValueError
        If images are damaged, or the beginning in the folder is of another extraction.
    """
    check_views(views)
    check_engine(engine, address, source, output)
    options: dict[str, Any] = {
        "preprocessing": preprocessing or backbone.preprocessing,
        "views": views,
        "batch_size": batch_size,
        "bf16": bf16,
        "n_workers": n_workers,
        "skip_damaged": skip_damaged,
    }
    in_shards = is_address(source) or _holds_shards(Path(source))
    if engine == "local" and not in_shards and not is_address(output):
        backbone.to(checked_device(device))
        # As in `Extractor`.
        backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return extract_to_folder(backbone, load_images(source, root), output, **options)
    plan = _of_shards(source) if in_shards else _of_one_set(source, root)
    work = Work(
        **packed(backbone),
        **plan.facts,
        **options,
        output=_folder(output),
        device=device,
    )
    spec = spec_of(
        backbone,
        work.fingerprint,
        preprocessing=work.preprocessing,
        views=views,
        bf16=bf16,
        shard_rows=None if in_shards else SHARD_ROWS,
    )
    with nullcontext() if is_address(output) else only_writer(output):
        with running(engine, address, device) as where:
            work.output.begin(spec)
            begin = time.monotonic()
            there, new = _worked_off(where, plan, work)
        if not there + new:
            raise ValueError(f"{source} must hold an image that is whole; none is.")
        speed = new / (time.monotonic() - begin) if new else float("nan")
        work.output.finish()
    n_images = there + new
    n_damaged = 0 if plan.n_images is None else plan.n_images - n_images
    place = os.fspath(output) if is_address(output) else Path(output)
    return Extraction(place, n_images, n_damaged, speed)


class _Plan(NamedTuple):
    """The shards to write, what workers must know of the images, and how many."""

    items: list[dict[str, Any]]
    facts: dict[str, Any]
    # None if that is not known before they are read.
    n_images: int | None


def _of_shards(source: str | os.PathLike[str]) -> _Plan:
    shards = list_shards(source, _SUFFIXES)
    items = [
        {"shard": shard_name(number), "source": [shard.folder, shard.name, shard.size]}
        for number, shard in enumerate(shards)
    ]
    return _Plan(items, {"fingerprint": fingerprint_of(shards)}, None)


def _of_one_set(
    source: str | os.PathLike[str], root: str | os.PathLike[str] | None
) -> _Plan:
    data = load_images(source, root)
    if not len(data):
        raise ValueError("data must hold an image; it holds none.")
    items = [
        {"shard": shard, "start": int(rows[0]), "stop": int(rows[-1]) + 1}
        for shard, rows in row_shards(len(data), SHARD_ROWS)
    ]
    facts = {
        "fingerprint": data.fingerprint(),
        # Absolute: another process may work in another folder.
        "images": str(Path(source).absolute()),
        "root": None if root is None else str(Path(root).absolute()),
    }
    return _Plan(items, facts, len(data))


def _worked_off(where: Engine, plan: _Plan, work: Work) -> tuple[int, int]:
    """Have all shards written; return the images that were there, and the new ones."""
    rows = {item["shard"]: work.output.rows_in(item["shard"]) for item in plan.items}

    def is_done(item: dict[str, Any]) -> bool:
        there = rows[item["shard"]]
        wanted = item["stop"] - item["start"] if "stop" in item else there
        return there > 0 and (there == wanted or work.skip_damaged)

    to_do = [item for item in plan.items if not is_done(item)]
    there = sum(rows.values()) - sum(rows[item["shard"]] for item in to_do)
    new = 0
    names: set[str] = set()
    with counter(len(plan.items), "extracting features, shard by shard") as advance:
        advance(len(plan.items) - len(to_do))
        for result in where.mapped(to_do, Extractor, work):
            new += result["n_images"]
            names |= {result["class_names"]} if result["n_images"] else set()
            if len(names) > 1:
                raise ValueError(
                    f"All shards of images must have the same class names; those of "
                    f"{result['shard']} differ. Write them again."
                )
            advance(1)
    return there, new


def _folder(output: str | os.PathLike[str]) -> Folder:
    if is_address(output):
        return RemoteFolder(os.fspath(output))
    # Absolute: another process may work in another folder.
    return PartialFolder(Path(output).absolute())


def _holds_shards(path: Path) -> bool:
    """Tell whether a folder holds ``.npz`` files, and not one folder a class."""
    if not path.is_dir():
        return False
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    folders = any(entry.is_dir() for entry in entries)
    return not folders and any(entry.suffix in _SUFFIXES for entry in entries)
