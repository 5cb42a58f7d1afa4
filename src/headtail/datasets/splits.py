"""The training, validation and test images of a data set, from where they lie."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from headtail.datasets.cifar import cifar_lt_splits
from headtail.datasets.glyphs import glyphs
from headtail.datasets.image_files import ImageFiles
from headtail.datasets.image_set import ImageSet
from headtail.datasets.profiles import sun_split
from headtail.datasets.protocols import PROTOCOLS, get_protocol, protocol_lists
from headtail.datasets.sources import check_files, image_folder, load_images
from headtail.tensors import shown

__all__ = ["Splits", "load_splits"]

_CIFAR: dict[str, Literal["cifar10", "cifar100"]] = {
    "cifar10-lt": "cifar10",
    "cifar100-lt": "cifar100",
}
_PACKED = ("", ".gz")
_SUFFIXES = ("", ".npz", ".txt", ".txt.gz")


class Splits(NamedTuple):
    """Images to learn from, to choose on and to report on; the last two if present."""

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet | None


def load_splits(
    path: str | os.PathLike[str],
    protocol: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    download: bool = False,
) -> Splits:
    """Read the splits of a data set.

    Parameters
    ----------
    path
        ``"glyphs"`` for the embedded data set. Else a folder that holds `train`, `val`
        and `test`, each a folder of images, an ``.npz`` file or a list ``.txt`` (see
        `load_images`; the last two splits may be missing); or one that holds the files
        of `protocol`. Published lists there go before folders of the same images.
    protocol
        `name` of a protocol, and what it leaves open: `imbalance_ratio` for CIFAR-LT.
    seed
        Of what is drawn: the glyphs, CIFAR's long tail, and the splits of SUN-397.
    download
        Fetch CIFAR if it is not there.
    """
    if os.fspath(path) == "glyphs":
        data = glyphs(seed=seed)
        return Splits(data.train, data.validation, data.test)
    folder = Path(path)
    options = dict(protocol or {})
    name = str(options.get("name"))
    # The folders train and val of ImageNet hold all images, not those of the lists.
    if _holds_lists(name, folder):
        return _published(name, folder)
    found = {name: _find(folder, name) for name in ("train", "val", "test")}
    if found["train"] is not None:
        validation, test = (
            None if file is None else load_images(file, folder, allow_empty=True)
            for file in (found["val"], found["test"])
        )
        return _matched(load_images(found["train"], folder), validation, test)
    if not protocol:
        raise FileNotFoundError(
            f"{folder} must hold train (a folder of images, train.npz or train.txt), "
            "and may hold val and test; it holds no train. Check the path."
        )
    row = get_protocol(name)
    if row.name in _CIFAR:
        if "imbalance_ratio" not in options:
            raise ValueError(
                f"protocol must give the imbalance_ratio of {name}; got {options}."
            )
        ratio, known = options["imbalance_ratio"], _CIFAR[row.name]
        return Splits(*cifar_lt_splits(known, folder, ratio, seed, download=download))
    if row.name == "sun-397-lt":
        every = image_folder(folder, nested=True)
        return Splits(*(every.subset(rows) for rows in sun_split(every.labels, seed)))
    if not row.lists:
        raise FileNotFoundError(
            f"{folder} must hold train, val and test for {row.title}, which has no "
            f"published lists; it holds no train. The images are at {row.source}."
        )
    return _published(row.name, folder)


def _holds_lists(name: str, folder: Path) -> bool:
    files = [
        file for row in PROTOCOLS if row.name == name for file in row.lists.values()
    ]
    return any((folder / f"{file}{end}").exists() for file in files for end in _PACKED)


def _find(folder: Path, split: str) -> Path | None:
    for suffix in _SUFFIXES:
        file = folder / f"{split}{suffix}"
        if file.is_dir() if not suffix else file.is_file():
            return file
    return None


def _matched(train: ImageSet, *others: ImageSet | None) -> Splits:
    """Give all splits the labels of the training images, class name by class name."""
    matched = []
    for data in others:
        if data is None or data.class_names == train.class_names:
            matched.append(data)
            continue
        if data.class_names is None or train.class_names is None:
            raise ValueError("All splits must have class names, or none of them.")
        known = {name: label for label, name in enumerate(train.class_names)}
        new = [name for name in data.class_names if name not in known]
        if new:
            raise ValueError(
                f"Every class must have training images; {shown(new)} have none. Leave "
                "them out of val and test."
            )
        labels = np.array([known[name] for name in data.class_names])[data.labels]
        matched.append(ImageSet(data.images, labels, train.class_names))
    return Splits(train, *matched)


def _published(name: str, folder: Path) -> Splits:
    """Read the images of the published lists; their paths begin at the folder.

    Where there is no test list, papers report on that of validation: it is the test
    set, which chooses nothing, and there is no validation set.
    """
    found = protocol_lists(name, folder)
    sets = {}
    for split, listed in found.lists.items():
        paths = [os.path.join(folder, path) for path in listed.paths]  # noqa: PTH118
        check_files(paths, f"the {split} list of {name}", folder)
        sets[split] = ImageSet(ImageFiles(paths), listed.labels, found.class_names)
    if "test" not in sets:
        return Splits(sets["train"], None, sets["val"])
    return Splits(sets["train"], sets["val"], sets["test"])
