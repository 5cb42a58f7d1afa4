"""The folder of a training run: what it needs to go on, its log, its networks."""

import csv
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from headtail.files import MISFITS, naming_failure, parse_json, written_whole
from headtail.training.image_classifier import ImageClassifier

__all__ = ["Row", "RunFolder", "is_run", "load_run"]

Row = dict[str, float]

_SETTINGS, _STATE, _LOG = "settings.json", "state.pt", "log.csv"
_BEST, _LAST = "best.safetensors", "last.safetensors"


class RunFolder:
    """What a run writes; every file appears whole.

    ``settings.json``: what the run is. ``log.csv``: a row per epoch. ``state.pt``: what
    it needs to go on after the last whole epoch. ``best.safetensors``: the network of
    the epoch with the best mean recall on validation data. ``last.safetensors``: the
    network of the last epoch, once all are done.

    Parameters
    ----------
    path
        Made if it does not exist.
    settings
        As JSON. A folder with other settings is refused.
    tensorboard
        Write TensorBoard's files into the folder as well.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        *,
        tensorboard: bool = False,
    ) -> None:
        self.path = Path(path)
        self._settings = json.loads(json.dumps(settings))
        # Whoever lacks the package learns it before an epoch has passed, not after.
        self._writer = _import_writer() if tensorboard else None
        if self.path.exists():
            self._check()

    def begin(self) -> None:
        """Make the folder and say in it what the run is."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"The folder of {self.path} must exist; make it first."
            )
        self.path.mkdir(exist_ok=True)
        for half_written in self._half_written():
            shutil.rmtree(half_written)
        if not (self.path / _SETTINGS).exists():
            text = json.dumps(self._settings, indent=1, sort_keys=True)
            with written_whole(self.path / _SETTINGS) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")

    def read_state(self) -> dict[str, Any] | None:
        """Return what `write` kept last; None if there was no whole epoch yet."""
        file = self.path / _STATE
        if not file.exists():
            return None
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            return {name: state[name] for name in ("model", "optimizer", "rows")}
        except (
            *MISFITS,
            EOFError,
            IndexError,
            OSError,
            RuntimeError,
            UnpicklingError,
        ) as error:
            # Not torch's text: it proposes to run the code in the file.
            raise ValueError(
                f"{file} must be a whole checkpoint of a run; reading it failed "
                f"({type(error).__name__}). Remove it to begin the run again."
            ) from error

    def write(
        self, model: ImageClassifier, optimizer: Any, rows: Sequence[Row], best: bool
    ) -> None:
        """Keep the network and the log after a whole epoch."""
        if best:
            known = {k: v for k, v in rows[-1].items() if not math.isnan(v)}
            model.save(self.path / _BEST, epoch=len(rows), chosen=known)
        self._write_log(rows)
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rows": list(rows),
        }
        # Last: a run broken off before it repeats the epoch and all that it wrote.
        file = self.path / _STATE
        with written_whole(file) as temporary, naming_failure(file):
            torch.save(state, temporary)

    def finish(self, model: ImageClassifier, rows: Sequence[Row]) -> None:
        """Keep the network of the last epoch, if it is not there."""
        if not (self.path / _LAST).exists():
            model.save(self.path / _LAST, epoch=len(rows))

    def _check(self) -> None:
        file = self.path / _SETTINGS
        if not self.path.is_dir() or (
            not file.exists() and set(self.path.iterdir()) > self._half_written()
        ):
            raise FileExistsError(
                f"{self.path} must be a new or empty folder, or that of the same run; "
                "it holds something else. Choose another."
            )
        if not file.exists():
            return
        try:
            there = dict(parse_json(file.read_bytes()))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{file} must hold the settings of a run; reading it failed ({error}). "
                "Choose another folder."
            ) from error
        other = [
            key
            for key in sorted({*there, *self._settings})
            if there.get(key) != self._settings.get(key)
        ]
        if other:
            differences = "; ".join(
                f"{key} is {there.get(key)}, now {self._settings.get(key)}"
                for key in other
            )
            raise FileExistsError(
                f"{self.path} must hold a run with the same settings to go on with it; "
                f"there {differences}. Choose another folder."
            )

    def _half_written(self) -> set[Path]:
        """Return what a run that was killed while it wrote a file left behind."""
        names = (_SETTINGS, _STATE, _LOG, _BEST, _LAST)
        return {path for name in names for path in self.path.glob(f".{name}.*")}

    def _write_log(self, rows: Sequence[Row]) -> None:
        with (
            written_whole(self.path / _LOG) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        if self._writer is None:
            return
        # What a run wrote after its last whole epoch, before it broke off, is purged.
        with self._writer(str(self.path), purge_step=len(rows)) as writer:
            for name, value in rows[-1].items():
                writer.add_scalar(name, value, len(rows))


def _import_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "TensorBoard's files need the package tensorboard; install "
            "'headtail[tensorboard]'."
        ) from error
    return SummaryWriter


def is_run(path: Path) -> bool:
    """Tell whether a path is the folder of a run."""
    return path.is_dir() and (path / _SETTINGS).is_file()


def load_run(path: str | os.PathLike[str]) -> ImageClassifier:
    """Return the network of a run: the best on validation data, else the last.

    Parameters
    ----------
    path
        The run's folder, or one of its ``.safetensors`` files.
    """
    path = Path(path)
    if not path.is_dir():
        return ImageClassifier.load(path)
    for name in (_BEST, _LAST):
        if (path / name).exists():
            return ImageClassifier.load(path / name)
    raise FileNotFoundError(
        f"{path} must hold {_BEST} or {_LAST}; it holds neither. Finish the run: call "
        "train again with the same folder."
    )
