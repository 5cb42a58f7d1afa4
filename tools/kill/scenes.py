"""What is killed: commands on small data, and what must hold of their files."""

import csv
import io
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from headtail.cli import main
from headtail.features import FeatureSet, extraction
from headtail.files import parse_json
from headtail.registry import load_classifier
from headtail.training import ImageClassifier

__all__ = ["COMMANDS", "Scene", "contents", "differing", "hidden", "load", "prepare"]

_RECIPE = """
title = "Tiny network"
source = "none"

[protocol]
name = "cifar100-lt"
imbalance_ratio = 10

[backbone]
name = "resnet20"

[head]
kind = "cosine"

[preprocessing]

[augmentation]
flip = true

[optimization]
learning_rate = 0.05
batch_size = 16

[schedule]
n_epochs = 3

[method]
name = "compositional"
"""
_TRAIN = ("train", "--recipe", "tiny.toml", "--data", "data", "-o", "run")
# Of an extraction, so that a few hundred images have several shards.
_SHARD_ROWS = 64


@dataclass(frozen=True)
class Scene:
    """A command, and the folder in which it begins.

    Attributes
    ----------
    words
        Of the command line, after ``headtail``.
    begin
        Fill a new folder with what the command needs, from that `prepare` filled.
    output
        File or folder that the command makes.
    repeats
        Whether the command, called again after it ended, does nothing new.
    """

    words: tuple[str, ...]
    begin: Callable[[Path, Path], None]
    output: str
    repeats: bool = True

    def work(self) -> None:
        """Run the command line in this process."""
        torch.set_num_threads(1)
        defaults = extraction.extract_to_folder.__kwdefaults__ or {}
        defaults["shard_rows"] = _SHARD_ROWS
        sys.argv = ["headtail", *self.words]
        main()


def _copying(*pairs: tuple[str, str]) -> Callable[[Path, Path], None]:
    def begin(store: Path, folder: Path) -> None:
        for source, name in pairs:
            target = folder / name
            if (store / source).is_dir():
                shutil.copytree(store / source, target)
            else:
                shutil.copyfile(store / source, target)

    return begin


_HEAD = "head.safetensors"
_FEATURES = ("train.npz", "train.npz")
_MORE = ("more.npz", "more.npz")
_FIT = ("fit", "train.npz", "-o", _HEAD)
_ADD = ("add", _HEAD, "more.npz", "-o")
COMMANDS: dict[str, tuple[Scene, ...]] = {
    "fit": (
        Scene(_FIT, _copying(_FEATURES), _HEAD),
        Scene(_FIT, _copying(_FEATURES, ("old", _HEAD)), _HEAD),
    ),
    "train": (
        Scene(_TRAIN, _copying(("tiny.toml", "tiny.toml"), ("data", "data")), "run"),
    ),
    "extract": (
        Scene(
            ("extract", "run", "images.npz", "-o", "features"),
            _copying(("run", "run"), ("images.npz", "images.npz")),
            "features",
            repeats=False,
        ),
    ),
    "add": (
        Scene((*_ADD, _HEAD), _copying(("old", _HEAD), _MORE), _HEAD, repeats=False),
        Scene((*_ADD, "larger"), _copying(("old", _HEAD), _MORE), "larger"),
    ),
}


def prepare(
    store: Path, run: Callable[[tuple[str, ...], Path], None], commands: Iterable[str]
) -> None:
    """Make what the scenes of these commands begin with.

    `run` calls a command in a folder.
    """
    rng = np.random.default_rng(0)
    _features(store / "train.npz", rng, [60, 40, 25, 12, 8, 5, 4, 3], first=0)
    # Known classes and new ones.
    _features(store / "more.npz", rng, [3, 2, 4, 2], first=6)
    (store / "tiny.toml").write_text(_RECIPE)
    (store / "data").mkdir()
    for name, counts in (("train", [24, 12, 6]), ("val", [4] * 3), ("test", [4] * 3)):
        _images(store / "data" / f"{name}.npz", rng, counts)
    _images(store / "images.npz", rng, [120, 80, 40])
    run(("fit", "train.npz", "-o", "old", "--seed", "1"), store)
    if "extract" in commands:
        run(_TRAIN, store)


def _features(
    path: Path, rng: np.random.Generator, counts: list[int], first: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    features = rng.normal(size=(len(labels), 16)) + 3 * np.eye(16)[first + labels]
    names = [f"class {first + label}" for label in range(len(counts))]
    np.savez(path, features=features, labels=labels, class_names=names)


def _images(path: Path, rng: np.random.Generator, counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    images = rng.integers(0, 160, (len(labels), 8, 8, 3), dtype=np.uint8)
    images[..., 0] += (30 * labels[:, None, None]).astype(np.uint8)
    np.savez(
        path, images=images, labels=labels, class_names=[*"abcdefgh"[: len(counts)]]
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a folder, by their paths in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def differing(there: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """Return the files that differ; of a checkpoint, its values count.

    Its bytes also tell how tensors lay in memory, which is not the same in a network
    that was loaded.
    """
    names = {*there, *expected}
    return sorted(
        name
        for name in names
        if there.get(name) != expected.get(name)
        and not (
            Path(name).suffix == ".pt"
            and name in there
            and name in expected
            and _values(there[name]) == _values(expected[name])
        )
    )


def _values(checkpoint: bytes) -> list[tuple[str, str]]:
    def flat(path: str, value: object) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from flat(f"{path}/{key}", inner)
        elif isinstance(value, list | tuple):
            for position, inner in enumerate(value):
                yield from flat(f"{path}/{position}", inner)
        elif isinstance(value, torch.Tensor):
            yield path, f"{value.dtype} {value.tolist()}"
        else:
            yield path, repr(value)  # NaN is not equal to itself

    return list(flat("", torch.load(io.BytesIO(checkpoint), weights_only=True)))


def hidden(folder: Path) -> list[str]:
    """Return the hidden files and folders, without what is in these."""
    parts = (path.relative_to(folder).parts for path in folder.rglob(".*"))
    return sorted("/".join(p) for p in parts if not any(x[0] == "." for x in p[:-1]))


def load(folder: Path) -> Iterator[str]:
    """Load every file that is not hidden, and every shard; yield what was loaded.

    Whatever a loader raises means that a file is not whole.
    """
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        # The shards of an extraction that goes on lie in a hidden folder, each whole.
        shard = parts[-1].startswith("part-") and parts[-2][-8:] == ".partial"
        if not path.is_file() or (not shard and any(p[0] == "." for p in parts)):
            continue
        if shard or path.name.startswith("part-"):
            FeatureSet.load(path)
        elif path.suffix == ".json":
            parse_json(path.read_bytes())
        elif path.suffix == ".csv":
            _check_log(path)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.name in ("best.safetensors", "last.safetensors"):
            ImageClassifier.load(path)
        elif path.name in ("head.safetensors", "larger"):
            load_classifier(path)
        else:
            continue
        yield "/".join(parts)


def _check_log(path: Path) -> None:
    text = path.read_text()
    lengths = {len(row) for row in csv.reader(text.splitlines())}
    if len(lengths) != 1 or not text.endswith("\n"):
        raise ValueError(f"{path} has lines of {sorted(lengths)} entries.")
