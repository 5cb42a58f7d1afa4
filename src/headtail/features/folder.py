"""A folder of shards as one set of columns, in memory or read when it is needed."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.features.columns import Columns
from headtail.labels import same_kind
from headtail.shards import MOST_OPEN, ShardedArray

__all__ = ["load_folder"]

# Features of up to 1 GiB are joined in memory, where any row is near.
_JOINED_BYTES = 2**30

Reader = Callable[[Path], Columns]


def load_folder(
    folder: Path, readers: Mapping[str, Reader], in_memory: bool | None
) -> Columns:
    """Read all shards of a folder in the order of their names; check that they fit.

    Labels are joined in memory. So are the features if `in_memory` is true or, where it
    is None, if they take up to 1 GiB; else they stay in their shards.
    """
    shards = _shards_in(folder, readers)
    joined: list[npt.NDArray[Any]] | None = None if in_memory is False else []
    labels, lengths, kinds, states, n_bytes = [], [], [], [], 0
    first: Columns | None = None
    for shard in shards:
        states.append(_state(shard))
        part = readers[shard.suffix](shard)
        rows = np.asarray(part.features)
        if rows.ndim != 2:
            raise ValueError(
                f"{shard} must hold features [n_samples, n_features]; they have shape "
                f"{list(rows.shape)}."
            )
        # Of the first, too, no more is kept than what the others are compared with.
        first = first or part._replace(features=rows[:0].copy())
        _check_alike(shard, part, shards[0], first)
        labels.append(part.labels)
        lengths.append(len(rows))
        kinds.append(rows.dtype)
        n_bytes += rows.nbytes
        if in_memory is None and n_bytes > _JOINED_BYTES:
            joined = None
        if joined is not None:
            # Of many shards none stays open: a process has few files.
            joined.append(rows.copy() if len(shards) > MOST_OPEN else rows)
    assert first is not None  # a folder without shards was refused
    features: npt.NDArray[Any] | ShardedArray
    if joined is None:
        openers = [
            partial(_features_of, readers[shard.suffix], shard, state)
            for shard, state in zip(shards, states, strict=True)
        ]
        width = first.features.shape[1]
        features = ShardedArray(openers, lengths, width, np.result_type(*kinds))
    else:
        features = joined[0] if len(joined) == 1 else np.concatenate(joined)
    every = None if first.labels is None else np.concatenate(labels)
    return Columns(features, every, first.class_names)


def _features_of(
    reader: Reader, shard: Path, state: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Read the features of a shard again; its labels are in memory already."""
    features = np.asarray(reader(shard).features)
    if _state(shard) != state:
        raise ValueError(
            f"{shard} must stay as it is while it is read; it was written to or "
            "replaced. Load the features again."
        )
    return features


def _state(shard: Path) -> tuple[int, ...]:
    """Return what changes if a file is written to or replaced."""
    found = shard.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _shards_in(folder: Path, readers: Mapping[str, Reader]) -> list[Path]:
    shards = sorted(file for file in folder.iterdir() if file.suffix in readers)
    if not shards:
        raise FileNotFoundError(
            f"{folder} holds no shard; files must end in one of {sorted(readers)}."
        )
    for shard in shards:
        if shard.resolve().parent != folder.resolve() or not shard.is_file():
            raise ValueError(
                f"{shard} must be a file of the folder itself; it is a link that leads "
                "out of it, or no file. Copy the file there."
            )
    return shards


def _check_alike(shard: Path, part: Columns, first_shard: Path, first: Columns) -> None:
    if _listed(part.class_names) != _listed(first.class_names):
        raise ValueError(
            f"{shard} must have the class names of {first_shard.name}; they differ."
        )
    if np.shape(part.features)[1:] != np.shape(first.features)[1:]:
        raise ValueError(
            f"{shard} must have the width of {first_shard.name}; their features "
            f"have {np.shape(part.features)[1]} and {first.features.shape[1]} columns."
        )
    if (part.labels is None) != (first.labels is None):
        raise ValueError(
            f"{shard} must have labels exactly if {first_shard.name} has them."
        )
    if part.labels is not None and not _fits(part, first):
        raise ValueError(
            f"{shard} must have one label per row, of the kind of those in "
            f"{first_shard.name}; got {np.shape(part.labels)} labels for "
            f"{np.shape(part.features)} features."
        )


def _fits(part: Columns, first: Columns) -> bool:
    """Tell whether a shard's labels fit its rows, and in kind those of the first."""
    labels = np.asarray(part.labels)
    one_each = labels.shape == np.shape(part.features)[:1]
    return one_each and same_kind(labels, np.asarray(first.labels))


def _listed(names: Any) -> Any:
    return names.tolist() if isinstance(names, np.ndarray) else names or []
