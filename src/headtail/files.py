"""Files that appear whole or not at all, and tensors with JSON metadata."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

__all__ = [
    "FORMAT",
    "MISFITS",
    "check_new_folder",
    "existing_file",
    "naming_failure",
    "open_error",
    "open_metadata",
    "read_tensors",
    "write_tensors",
    "written_whole",
]

FORMAT = 1

# What building from metadata that do not fit may raise; a file may nest without end.
MISFITS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)
_KEY = "headtail"


@contextmanager
def naming_failure(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the writers of tensors raise, on a full disk say, into an `OSError`."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        raise OSError(
            f"{path} must be written whole; writing it failed ({error}). Free space "
            "and call again."
        ) from error


def check_new_folder(path: str | os.PathLike[str]) -> Path:
    """Return `path` if nothing is there, or an empty folder; refuse it otherwise."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} holds something already; choose a new folder.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} must exist; make it first.")
    return path


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` if all goes well.

    It lies in the same folder. What is written there may be a file or a folder; a
    folder never replaces a folder that holds something.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} must exist; make it first.")
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    probe = holder / ".mode"
    try:
        probe.touch()
        yield holder / path.name
        _share(holder / path.name, probe.stat().st_mode & 0o777)
        for written in [holder / path.name, *(holder / path.name).rglob("*")]:
            _sync(written)
        (holder / path.name).replace(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` if it is a file; raise an `OSError` that names it otherwise."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; pass a file.")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; check the path.")
    return path


def open_error(path: Path, error: Exception, kind: str) -> ValueError:
    """Return the error for a file that is not what its name or use says."""
    return ValueError(
        f"{path} must be a whole {kind}; reading it failed ({error}). Write it again."
    )


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
        parsed = None if text is None else json.loads(text)
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


def _share(path: Path, mode: int) -> None:
    """Give files the user's usual mode: some libraries write for the owner alone."""
    for file in [path, *path.rglob("*")]:
        if file.is_file():
            file.chmod(mode)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
