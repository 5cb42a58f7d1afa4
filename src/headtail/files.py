"""Files at the door: what is there, what it unpacks to, tensors with metadata."""

import gzip
import json
import math
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headtail.writing import (
    check_new_folder,
    naming_failure,
    only_writer,
    written_whole,
)

__all__ = [
    "FORMAT",
    "MISFITS",
    "check_new_folder",
    "check_unpacked",
    "existing_file",
    "naming_failure",
    "only_writer",
    "open_error",
    "open_metadata",
    "parse_json",
    "read_arrays",
    "read_gzip",
    "read_header",
    "read_tensors",
    "stays_below",
    "unchanged",
    "write_tensors",
    "written_whole",
]

FORMAT = 1

# What building from metadata that do not fit may raise: a file may nest without end,
# hold tensors of types that torch cannot check, or ask for sizes that nothing holds.
MISFITS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_KEY = "headtail"

# What a file may unpack to: whatever is small, and of large files a multiple.
_ALWAYS, _MULTIPLE = 2**26, 100
_CHUNK = 2**20
_HEADERS: Any = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` if it is a file; raise an `OSError` that names it otherwise."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; pass a file.")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; check the path.")
    if not path.is_file():
        # A pipe would wait for its writer, a device never end.
        raise OSError(f"{path} is a pipe or a device; pass a file.")
    return path


@contextmanager
def unchanged(*paths: str | os.PathLike[str] | None) -> Iterator[None]:
    """Raise afterwards if a file was written to in place meanwhile.

    A file that is mapped is read while it is used: what is written into it shows up in
    features that were checked before. A file that took the place of the old one does
    not; the old one stays mapped, whole. Of a folder, its files count.

    Raises
    ------
    OSError
        That names the file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "train.npz")
    ...     _ = path.write_text("old")
    ...     with unchanged(path):
    ...         _ = path.write_text("changed")
    Traceback (most recent call last):
    OSError: .../train.npz must stay as it is while it is read; it was written to...
    """
    before = _states(path for path in paths if path is not None)
    yield
    after = _states(path for path in paths if path is not None)
    for file, state in before.items():
        then, now = state, after.get(file, state)
        if then[:2] == now[:2] and then != now:
            raise OSError(
                f"{file} must stay as it is while it is read; it was written to in "
                "place. Call again, and replace files by renaming new ones."
            )


def _states(paths: Iterable[str | os.PathLike[str]]) -> dict[Path, Sequence[int]]:
    """Return device, number, size and time of every file, and of those in folders."""
    states: dict[Path, Sequence[int]] = {}
    for path in map(Path, paths):
        for file in [path, *(path.iterdir() if path.is_dir() else ())]:
            if file.is_file():
                found = file.stat()
                states[file] = (
                    *(found.st_dev, found.st_ino),
                    *(found.st_size, found.st_mtime_ns),
                )
    return states


def stays_below(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> bool:
    """Tell whether `path`, which begins at `root`, names nothing outside of it.

    The text alone counts; links are not looked at.

    Examples
    --------
    >>> stays_below("images", "cat/../1.jpg"), stays_below("images", "../1.jpg")
    (True, False)
    """
    top = os.path.abspath(root)  # noqa: PTH100
    whole = os.path.abspath(os.path.join(top, path))  # noqa: PTH100, PTH118
    return os.path.commonpath([top, whole]) == top


def open_error(path: Path, error: Exception, kind: str) -> ValueError:
    """Return the error for a file that is not what its name or use says."""
    return ValueError(
        f"{path} must be a whole {kind}; reading it failed ({error}). Write it again."
    )


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; a `ValueError` also where it nests deeper than can be read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON nests too deep") from error


def check_unpacked(path: Path, n_bytes: int) -> None:
    """Refuse a file whose content takes far more bytes than itself."""
    allowed = _ALWAYS + _MULTIPLE * path.stat().st_size
    if n_bytes > allowed:
        raise ValueError(
            f"it would unpack to more than 64 MiB and {_MULTIPLE} times its size, "
            f"{allowed:,} bytes; if you trust it, write it without compression"
        )


def read_gzip(path: Path) -> bytearray:
    """Return what a gzip file unpacks to, within the bound of `check_unpacked`."""
    content = bytearray()
    with gzip.open(path) as stream:
        while chunk := stream.read(_CHUNK):
            content += chunk
            check_unpacked(path, len(content))
    return content


def read_arrays(
    path: Path, wanted: Iterable[str]
) -> tuple[list[str], dict[str, npt.NDArray[Any]]]:
    """Return the names in an ``.npz`` file, and the arrays of those that are wanted.

    Nothing is unpickled, and no memory is taken for what the file does not hold. The
    errors are of many kinds and do not name the file.
    """
    with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
        # Of numpy and the parser of its headers; the array is checked, come what may.
        warnings.simplefilter("ignore")
        names = [n.removesuffix(".npy") for n in archive.namelist() if n[-4:] == ".npy"]
        chosen = [name for name in wanted if name in names]
        infos = {name: archive.getinfo(f"{name}.npy") for name in chosen}
        check_unpacked(path, sum(info.file_size for info in infos.values()))
        arrays = {}
        for name, info in infos.items():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("its compression is none of those that numpy writes")
            with archive.open(info) as stream:
                read_header(stream, info.file_size)
            with archive.open(info) as stream:
                arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return names, arrays


def read_header(
    stream: Any, n_bytes: int
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type of the array in a stream of so many bytes.

    Raises
    ------
    ValueError
        If these do not fit the bytes, or the array is of Python objects.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"an array of version {version} cannot be read")
    shape, fortran, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("Object arrays are pickles, and nothing is unpickled")
    wanted = math.prod(shape) * dtype.itemsize
    # Elements without bytes could be any number of them.
    hollow = not dtype.itemsize and math.prod(shape)
    if hollow or min(shape, default=0) < 0 or wanted != n_bytes - stream.tell():
        raise ValueError(
            f"it has an array whose shape, {list(shape)}, does not fit its bytes"
        )
    return shape, fortran, dtype


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
) -> None:
    """Write tensors and JSON metadata as one safetensors file."""
    ready = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    text = json.dumps({"format": FORMAT, **metadata}, sort_keys=True, allow_nan=False)
    with written_whole(path) as temporary, naming_failure(path):
        # One key: the format keeps several in no fixed order, and bytes would differ.
        save_file(ready, temporary, metadata={_KEY: text})


def open_metadata(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the JSON metadata of a safetensors file; None if it has none of ours."""
    path = existing_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
        parsed = None if text is None else parse_json(text)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise open_error(path, error, "safetensors file") from error
    if parsed is not None and not isinstance(parsed, dict):
        raise ValueError(f"The metadata of {path} must be a JSON object.")
    return parsed


def read_tensors(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote; the tensors are independent copies."""
    path = existing_file(path)
    metadata = open_metadata(path)
    if metadata is None:
        raise ValueError(
            f"{path} must carry headtail's metadata; it has none. It was written by "
            "something else: build the head from its tensors, and save that."
        )
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} must have format {FORMAT}; it has {metadata.get('format')!r}. "
            "Read it with the version of headtail that wrote it."
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        raise open_error(path, error, "safetensors file") from error
    return tensors, metadata
