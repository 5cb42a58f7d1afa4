"""The files of a `FeatureSet`: one reader and one writer per format."""

import json
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from headtail.features.columns import NAMES_KEY, Columns
from headtail.features.folder import load_folder
from headtail.features.parquet import read_parquet, write_parquet
from headtail.files import (
    existing_file,
    naming_failure,
    open_error,
    parse_json,
    read_arrays,
    read_header,
    written_whole,
)
from headtail.tensors import row_blocks, shown

__all__ = ["load_columns", "save_columns"]

_SHARD_ROWS = 65_536
_ARRAYS = ("features", "labels", NAMES_KEY, "scale", "zero_point")


def load_columns(
    path: str | os.PathLike[str], *, in_memory: bool | None = None
) -> Columns:
    """Read a file by its suffix, or all shards of a folder, see `load_folder`."""
    path = Path(path)
    if path.is_dir():
        return load_folder(path, _READERS, in_memory)
    path = existing_file(path)
    if path.suffix not in _READERS:
        raise ValueError(
            f"{path} must end in one of {sorted(_READERS)} or be a folder of such "
            f"files; got {path.suffix!r}."
        )
    return _READERS[path.suffix](path)


def save_columns(path: str | os.PathLike[str], columns: Columns) -> None:
    """Write a file by its suffix; without one, a folder of safetensors shards."""
    path = Path(path)
    if path.suffix and path.suffix not in _WRITERS:
        raise ValueError(
            f"{path} must end in one of {sorted(_WRITERS)}, or in nothing for a folder "
            f"of shards; got {path.suffix!r}."
        )
    if path.suffix:
        with written_whole(path) as temporary:
            _WRITERS[path.suffix](temporary, columns)
        return
    if path.is_dir() and any(path.iterdir()):
        raise FileExistsError(
            f"{path} holds something already; choose a new folder or empty it."
        )
    with written_whole(path) as temporary:
        temporary.mkdir()
        features, labels, names = columns
        for start in range(0, max(1, len(features)), _SHARD_ROWS):
            rows = slice(start, start + _SHARD_ROWS)
            shard = temporary / f"part-{start // _SHARD_ROWS:05d}.safetensors"
            part = None if labels is None else labels[rows]
            _write_safetensors(shard, Columns(features[rows], part, names))


def _read_npz(path: Path) -> Columns:
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise ValueError("it is no archive of arrays")
        mapped = _map_member(path, "features.npy")
        wanted = _ARRAYS if mapped is None else [n for n in _ARRAYS if n != "features"]
        names, arrays = read_arrays(path, wanted)
        if mapped is not None:
            arrays["features"] = mapped
    except Exception as error:  # a damaged archive fails in many ways
        raise open_error(path, error, ".npz file without pickled objects") from error
    return _columns(path, arrays, names)


def _map_member(path: Path, member: str) -> npt.NDArray[Any] | None:
    """Map an array of an archive without copying it; None if it is compressed."""
    with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser of headers
        if member not in archive.namelist():
            return None
        info = archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(info) as stream:
            shape, fortran, dtype = read_header(stream, info.file_size)
            header = stream.tell()
    if 0 in shape:
        return None
    with path.open("rb") as file:
        # The local header has fields of its own length before the data begin.
        file.seek(info.header_offset + 26)
        lengths = np.frombuffer(file.read(4), dtype="<u2")
    offset = info.header_offset + 30 + int(lengths.sum()) + header
    order: Literal["F", "C"] = "F" if fortran else "C"
    mapped: npt.NDArray[Any] = np.memmap(
        path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order
    )
    return mapped


def _write_npz(path: Path, columns: Columns) -> None:
    arrays = {"features": columns.features}
    if columns.labels is not None:
        arrays["labels"] = columns.labels
    if columns.class_names is not None:
        arrays[NAMES_KEY] = np.asarray(columns.class_names)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _read_safetensors(path: Path) -> Columns:
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            # NumPy has no bfloat16; the rest shares the mapped file's memory.
            arrays = {
                name: tensor.float().numpy()
                if tensor.dtype == torch.bfloat16
                else tensor.numpy()
                for name in names
                if name in _ARRAYS
                for tensor in [file.get_tensor(name)]
            }
        if NAMES_KEY in metadata:
            arrays[NAMES_KEY] = parse_json(metadata[NAMES_KEY])
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise open_error(path, error, "safetensors file") from error
    return _columns(path, arrays, names)


def _write_safetensors(path: Path, columns: Columns) -> None:
    arrays = {"features": np.ascontiguousarray(columns.features)}
    if columns.labels is not None:
        arrays["labels"] = np.ascontiguousarray(columns.labels)
    metadata = None
    if columns.class_names is not None:
        metadata = {NAMES_KEY: json.dumps(list(columns.class_names))}
    with naming_failure(path):
        save_file(arrays, path, metadata=metadata)


def _columns(path: Path, arrays: dict[str, Any], names: list[str]) -> Columns:
    """Pick the columns out of named arrays, and de-quantise 8-bit features."""
    if "features" not in arrays:
        raise ValueError(
            f"{path} must hold an array 'features'; it holds {shown(sorted(names))}."
        )
    features = arrays["features"]
    if "scale" in arrays or "zero_point" in arrays:
        features = _dequantised(path, arrays)
    return Columns(features, arrays.get("labels"), arrays.get(NAMES_KEY))


def _dequantised(path: Path, arrays: dict[str, Any]) -> npt.NDArray[np.float32]:
    features = np.asarray(arrays["features"])
    numbers = [np.asarray(arrays.get(name)) for name in ("scale", "zero_point")]
    scalars = all(n.size == 1 and n.dtype.kind in "fiu" for n in numbers)
    if features.dtype not in (np.uint8, np.int8) or features.ndim != 2 or not scalars:
        raise ValueError(
            f"{path} must hold 8-bit features [n_samples, n_features] with one number "
            "each as 'scale' and 'zero_point', or neither of those."
        )
    scale, zero_point = (np.float32(n.item()) for n in numbers)
    result = np.empty(features.shape, dtype=np.float32)
    for rows in row_blocks(*features.shape):
        result[rows] = (features[rows] - zero_point) * scale
    return result


_READERS = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".parquet": read_parquet,
}
_WRITERS = {
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
    ".parquet": write_parquet,
}
