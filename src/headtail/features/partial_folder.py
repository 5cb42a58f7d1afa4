"""A folder of shards in the making: it appears under its name when it is whole."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from headtail.files import written_whole
from headtail.tensors import shown

__all__ = ["SPEC", "PartialFolder", "check_same_work", "shard_name"]

SPEC = "extraction.json"


def shard_name(number: int) -> str:
    """Return the name of a shard by its place.

    Examples
    --------
    >>> shard_name(7)
    'part-00007.safetensors'
    """
    return f"part-{number:05d}.safetensors"


def check_same_work(
    there: Mapping[str, Any], spec: Mapping[str, Any], place: object
) -> None:
    """Refuse to go on with what was begun with another spec; both are JSON."""
    other = [key for key in spec if there.get(key) != spec[key]]
    if other:
        raise FileExistsError(
            f"{place} holds the beginning of another extraction: {shown(other)} "
            "differ. Remove it to begin anew, or choose another folder."
        )


class PartialFolder:
    """The hidden folder beside `folder` that takes its name in the end.

    Parameters
    ----------
    folder
        New; its own folder must exist.

    Attributes
    ----------
    folder, partial
        Where the shards will be, and where they are until all are there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.partial = self.folder.with_name(f".{self.folder.name}.partial")

    def begin(self, spec: Mapping[str, Any]) -> None:
        """Make the folder, or check that the one there is of the same work."""
        if self.folder.exists():
            raise FileExistsError(f"{self.folder} exists already; choose a new folder.")
        if not self.folder.parent.is_dir():
            raise FileNotFoundError(
                f"The folder of {self.folder} must exist; make it first."
            )
        spec = json.loads(json.dumps(spec))
        file = self.partial / SPEC
        if not file.exists():
            self.partial.mkdir(exist_ok=True)
            with written_whole(file) as temporary:
                temporary.write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n")
            return
        self._remove_half_written()
        check_same_work(json.loads(file.read_text()), spec, self.partial)

    def path(self, shard: str) -> Path:
        """Return where a shard of this name belongs now."""
        return self.partial / shard

    def rows_in(self, shard: str) -> int:
        """Return how many rows a shard has; 0 if it is not there."""
        if not self.path(shard).exists():
            return 0
        with safe_open(self.path(shard), framework="np") as file:
            return int(file.get_slice("labels").get_shape()[0])

    def finish(self) -> None:
        """Give the folder its name."""
        self._remove_half_written()
        self.partial.replace(self.folder)

    def _remove_half_written(self) -> None:
        """Remove what a process that was killed while it wrote a shard left behind."""
        for half_written in self.partial.glob(".*"):
            shutil.rmtree(half_written)
