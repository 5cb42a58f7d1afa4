"""A folder of shards at an address, whole once its last file is there."""

import json
import struct
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headtail.features.columns import Columns
from headtail.features.files import save_columns
from headtail.features.partial_folder import SPEC, check_same_work
from headtail.files import parse_json
from headtail.scale.addresses import BEGUN, reaching, remote, without_slash

__all__ = ["RemoteFolder"]

# Of the header of a safetensors file; the format allows no more.
_MOST_HEADER = 10**8


class RemoteFolder:
    """Shards at an address: the counterpart of `features.PartialFolder`.

    File systems behind addresses cannot rename a folder in one step. So the shards lie
    at their place at once, each whole, beside a file that says what was begun;
    ``extraction.json`` is written last, and that file goes then.

    Parameters
    ----------
    address
        Of the folder; new.

    Examples
    --------
    >>> folder = RemoteFolder("memory://docs/features")
    >>> folder.begin({"views": 1})
    >>> folder.rows_in("part-00000.safetensors")
    0
    """

    def __init__(self, address: str) -> None:
        self.folder = without_slash(address)

    def begin(self, spec: Mapping[str, Any]) -> None:
        """Note what is begun, or check that what was begun is the same work."""
        system, path = remote(self.folder)
        spec = json.loads(json.dumps(spec))
        with reaching(self.folder):
            there = self._names()
            if BEGUN in there and SPEC not in there:
                begun = parse_json(system.cat_file(f"{path}/{BEGUN}"))
            elif there:
                raise FileExistsError(
                    f"{self.folder} holds something already; choose a new folder."
                )
            else:
                begun = spec
                system.makedirs(path, exist_ok=True)
                system.pipe_file(f"{path}/{BEGUN}", _text(spec))
        check_same_work(begun, spec, self.folder)

    def save(self, shard: str, columns: Columns) -> None:
        """Write a shard; it takes its name when it is whole."""
        system, path = remote(self.folder)
        # Not the suffix of a shard: no reader may take it for one.
        hidden = f"{path}/.{shard}.{uuid.uuid4().hex}"
        with tempfile.TemporaryDirectory(prefix="headtail-") as folder:
            save_columns(Path(folder, shard), columns)
            with reaching(f"{self.folder}/{shard}"):
                system.put_file(str(Path(folder, shard)), hidden)
                system.mv(hidden, f"{path}/{shard}")

    def rows_in(self, shard: str) -> int:
        """Return how many rows a shard has, by its header; 0 if it is not there."""
        system, path = remote(self.folder)
        with reaching(f"{self.folder}/{shard}"):
            if not system.exists(f"{path}/{shard}"):
                return 0
            with system.open(f"{path}/{shard}", "rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                if length > _MOST_HEADER:
                    raise ValueError("it is no shard")
                return int(parse_json(file.read(length))["labels"]["shape"][0])

    def finish(self) -> None:
        """Remove what killed writers left, and mark the folder as whole."""
        system, path = remote(self.folder)
        with reaching(self.folder):
            for name in self._names():
                if name.startswith(".part-"):
                    system.rm_file(f"{path}/{name}")
            spec = system.cat_file(f"{path}/{BEGUN}")
            system.pipe_file(f"{path}/{SPEC}", spec)
            system.rm_file(f"{path}/{BEGUN}")

    def _names(self) -> set[str]:
        system, path = remote(self.folder)
        try:
            return {found.rsplit("/", 1)[-1] for found in system.ls(path, detail=False)}
        except FileNotFoundError:
            return set()


def _text(spec: Mapping[str, Any]) -> bytes:
    return (json.dumps(spec, indent=1, sort_keys=True) + "\n").encode()
