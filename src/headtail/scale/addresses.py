"""Shards by path or by address: listing them, and a local file of each."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headtail.features.partial_folder import SPEC
from headtail.tensors import fingerprint, shown

__all__ = [
    "BEGUN",
    "Shard",
    "fingerprint_of",
    "is_address",
    "list_shards",
    "local_file",
    "reaching",
    "remote",
    "without_slash",
]

# In a remote folder whose shards are not all there yet.
BEGUN = ".extraction.begun.json"


@dataclass(frozen=True)
class Shard:
    """A file of a folder, or one that stands alone.

    Attributes
    ----------
    folder
        Path, or address as fsspec has it.
    name
        Of the file in the folder.
    size
        Bytes.
    """

    folder: str
    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"


def is_address(place: str | os.PathLike[str]) -> bool:
    """Tell whether a place is an address such as ``s3://…``, and not a path.

    Examples
    --------
    >>> is_address("s3://bucket/features"), is_address("features")
    (True, False)
    """
    return "://" in os.fspath(place)


def without_slash(address: str) -> str:
    """Return an address without slashes at its end, but for those of its kind.

    Examples
    --------
    >>> without_slash("s3://bucket/features/"), without_slash("memory://")
    ('s3://bucket/features', 'memory://')
    """
    return re.sub(r"(?<=[^:/])/+$", "", address)


@contextmanager
def reaching(address: object) -> Iterator[None]:
    """Turn whatever a client of a remote file system raises into an `OSError`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None or str(address) in str(error):
            raise
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
        raise kind(f"{address}: {error or type(error).__name__}") from error
    except Exception as error:  # every client has errors of its own
        raise OSError(
            f"{address} must be an address that can be reached; {error}. Check the "
            "address and what its service asks for."
        ) from error


def remote(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and its path in there.

    Raises
    ------
    ImportError
        If fsspec, or what it needs for this kind of address, is not installed.
    OSError
        If the kind is not known.
    """
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise ImportError(
            "fsspec must be installed for addresses; it is not. Install it: "
            "pip install 'headtail[scale]'."
        ) from error
    try:
        with reaching(address):
            system, path = url_to_fs(address)
    except OSError as error:
        if isinstance(error.__cause__, ImportError):
            raise error.__cause__ from None
        raise
    # Another process writes there: what was listed once may have changed.
    system.invalidate_cache()
    return system, path.rstrip("/")


def list_shards(
    source: str | os.PathLike[str], suffixes: Sequence[str]
) -> tuple[Shard, ...]:
    """List the shards of a folder in the order of names; nothing is read.

    Parameters
    ----------
    source
        Folder or one file, by path or by address.
    suffixes
        What names of shards end in.

    Raises
    ------
    FileNotFoundError
        If there is nothing, or no shard.
    ValueError
        If a shard is a link that leads out of the folder, or the folder is not whole.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "b.npz").write_bytes(b"12")
    ...     [(shard.name, shard.size) for shard in list_shards(folder, [".npz"])]
    [('b.npz', 2)]
    """
    source = os.fspath(source)
    folder, found = (_list_remote if is_address(source) else _list_local)(source)
    if BEGUN in found and SPEC not in found:
        raise ValueError(
            f"{source} must hold all shards of an extraction; it was broken off. Call "
            "extract again with the same arguments."
        )
    names = sorted(
        name
        for name in found
        if Path(name).suffix in suffixes and not name.startswith(".")
    )
    if not names:
        raise FileNotFoundError(
            f"{source} holds no shard; files must end in one of {sorted(suffixes)}. It "
            f"holds {shown(sorted(found))}."
        )
    linked = [name for name in names if found[name] is None]
    if linked:
        raise ValueError(
            f"{folder} must hold its shards itself; {shown(linked)} are links. Copy "
            "the files there."
        )
    return tuple(Shard(folder, name, found[name] or 0) for name in names)


def fingerprint_of(shards: Sequence[Shard]) -> str:
    """Return a short hash of names and sizes: what can be told without reading."""
    text = "\n".join(f"{shard.name} {shard.size}" for shard in shards)
    return fingerprint(np.frombuffer(text.encode(), np.uint8))


@contextmanager
def local_file(shard: Shard) -> Iterator[Path]:
    """Yield a path of the shard: its own, or that of a copy that is removed later."""
    if not is_address(shard.folder):
        yield Path(shard.folder, shard.name)
        return
    system, path = remote(shard.folder)
    with tempfile.TemporaryDirectory(prefix="headtail-") as folder:
        copy = Path(folder, shard.name)
        with (
            reaching(shard),
            system.open(f"{path}/{shard.name}", "rb") as stream,
            copy.open("wb") as file,
        ):
            shutil.copyfileobj(stream, file, 2**20)
        yield copy


def _list_local(source: str) -> tuple[str, dict[str, int | None]]:
    """Return the folder, and the bytes of every file; None of a link out of it."""
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{source} does not exist; check the path.")
    # Absolute: another process may work in another folder.
    path = path.absolute()
    if path.is_file():
        return str(path.parent), {path.name: path.stat().st_size}
    top = path.resolve()
    return str(path), {
        file.name: file.stat().st_size if file.resolve().parent == top else None
        for file in path.iterdir()
        if file.is_file()
    }


def _list_remote(source: str) -> tuple[str, dict[str, int | None]]:
    source = without_slash(source)
    system, path = remote(source)
    with reaching(source):
        if system.isfile(path):
            folder, name = source.rsplit("/", 1)
            return folder, {name: int(system.size(path) or 0)}
        entries = system.ls(path, detail=True)
    # The last part alone: no entry can name a place outside of the folder.
    return source, {
        entry["name"].rsplit("/", 1)[-1]: None
        if entry.get("islink")
        else int(entry["size"] or 0)
        for entry in entries
        if entry["type"] == "file" or entry.get("islink")
    }
