"""The papers' long-tailed data sets by name, and their published lists, checked."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from headtail.datasets.list_file import ListFile, read_class_names, read_list
from headtail.files import existing_file
from headtail.tensors import shown

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "ProtocolLists",
    "get_protocol",
    "protocol_lists",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One row of the table.

    Attributes
    ----------
    name
        In kebab case, for `get_protocol` and the command line.
    title
        As papers write it.
    n_classes
        Number of classes.
    n_train
        Training images; None where no source gives it.
    largest, smallest
        Training images of the largest and of the smallest class.
    paper
        Address of the paper that made it.
    source
        Where to get it, or what makes it.
    images
        What the folder of images looks like; paths in the lists begin there.
    lists
        Name of the list file of each split; empty where none is published.
    sizes
        Lines of the list file of each split.
    class_names
        Name of a file with a line ``id name`` per class, if there is one; the id is
        the folder of the class's images.
    """

    name: str
    title: str
    n_classes: int
    n_train: int | None
    largest: int
    smallest: int
    paper: str
    source: str
    images: str
    lists: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    class_names: str | None = None


class ProtocolLists(NamedTuple):
    """The list of each split; names in the order of labels, if their file is there."""

    lists: dict[str, ListFile]
    class_names: tuple[str, ...] | None


_OLTR = "https://github.com/zhmiao/OpenLongTailRecognition-OLTR"
_DECOUPLING = "https://github.com/facebookresearch/classifier-balancing"
_MODEL_THE_TAIL = (
    "https://proceedings.neurips.cc/paper/2017/hash/"
    "147ebe637038ca50a1265abac8dea181-Abstract.html"
)


def _files(stem: str, *splits: str) -> dict[str, str]:
    return {split: f"{stem}_{split}.txt" for split in splits}


PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        name="imagenet-lt",
        title="ImageNet-LT",
        n_classes=1000,
        n_train=115_846,
        largest=1280,
        smallest=5,
        paper="https://arxiv.org/abs/1904.05160",
        source=f"{_OLTR} (linked in its README) or {_DECOUPLING} (data/ImageNet_LT)",
        images="ILSVRC2012: train/<WordNet id>/*.JPEG, val/<WordNet id>/*.JPEG",
        lists=_files("ImageNet_LT", "train", "val", "test"),
        sizes={"train": 115_846, "val": 20_000, "test": 50_000},
        class_names="ImageNet_LT_classnames.txt",
    ),
    Protocol(
        name="places-lt",
        title="Places-LT",
        n_classes=365,
        # One paper writes 62.7K, the first of all 184.5K: the lists hold 62,500.
        n_train=62_500,
        largest=4980,
        smallest=5,
        paper="https://arxiv.org/abs/1904.05160",
        source=f"{_OLTR} (linked in its README) or {_DECOUPLING} (data/Places_LT)",
        images="Places365-Standard, 256 by 256: train/<class>/*.jpg, val/<class>/*.jpg",
        lists=_files("Places_LT", "train", "val", "test"),
        sizes={"train": 62_500, "val": 7_300, "test": 36_500},
        class_names="Places_LT_classnames.txt",
    ),
    Protocol(
        name="inaturalist-2018",
        title="iNaturalist 2018",
        n_classes=8142,
        n_train=437_513,
        largest=1000,
        smallest=2,
        paper="https://arxiv.org/abs/1707.06642",
        source=f"{_DECOUPLING} (data/iNaturalist18; its gen_lists.py makes them from "
        "the annotations at https://github.com/visipedia/inat_comp/tree/master/2018)",
        images="train_val2018/<kingdom or class>/<label>/*.jpg",
        lists=_files("iNaturalist18", "train", "val"),
        sizes={"train": 437_513, "val": 24_426},
    ),
    Protocol(
        name="sun-397-lt",
        title="SUN-397-LT",
        n_classes=397,
        n_train=None,
        largest=1132,
        smallest=1,
        paper=_MODEL_THE_TAIL,
        source="sun_split, of SUN-397 at https://vision.princeton.edu/projects/2010/SUN/",
        images="<letter>/<class>/*.jpg",
    ),
    Protocol(
        name="places-205-lt",
        title="Places-205-LT",
        n_classes=205,
        n_train=None,
        largest=9900,
        smallest=5,
        paper=_MODEL_THE_TAIL,
        source="its authors, who published no list: subsample of Places-205 at "
        "http://places.csail.mit.edu",
        images="<letter>/<class>/*.jpg",
    ),
    Protocol(
        name="cifar10-lt",
        title="CIFAR-10-LT (imbalance ratio 100)",
        n_classes=10,
        n_train=12_406,
        largest=5000,
        smallest=50,
        paper="https://arxiv.org/abs/1901.05555",
        source="cifar_lt('cifar10', folder, imbalance_ratio=100, seed=0)",
        images="cifar-10-binary.tar.gz",
    ),
    Protocol(
        name="cifar100-lt",
        title="CIFAR-100-LT (imbalance ratio 100)",
        n_classes=100,
        n_train=10_847,
        largest=500,
        smallest=5,
        paper="https://arxiv.org/abs/1901.05555",
        source="cifar_lt('cifar100', folder, imbalance_ratio=100, seed=0)",
        images="cifar-100-binary.tar.gz",
    ),
)


def get_protocol(name: str) -> Protocol:
    """Return the row called `name`.

    Examples
    --------
    >>> get_protocol("imagenet-lt").n_train
    115846
    """
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    known = ", ".join(protocol.name for protocol in PROTOCOLS)
    raise ValueError(f"Unknown protocol {name!r}. Known protocols: {known}.")


def protocol_lists(
    name: str,
    folder: str | os.PathLike[str],
    *,
    splits: Sequence[str] | None = None,
) -> ProtocolLists:
    """Read the published lists of a protocol, and check them against what is published.

    Parameters
    ----------
    name
        Of a protocol that has lists: ``"imagenet-lt"``, ``"places-lt"`` or
        ``"inaturalist-2018"``.
    folder
        Holds the list files under their published names, plain or with ``.gz``, and
        maybe the file of class names.
    splits
        Which to read; None for all that are published.

    Raises
    ------
    FileNotFoundError
        If a list is missing; the error says which, and where to get it.
    ValueError
        If the number of images, of classes, or of training images of the largest or
        smallest class is not the published one.

    Examples
    --------
    >>> protocol_lists("places-lt", "no/such/folder")
    Traceback (most recent call last):
    FileNotFoundError: no/such/folder must hold Places_LT_train.txt ...
    """
    protocol, folder = get_protocol(name), Path(folder)
    if not protocol.lists:
        with_lists = ", ".join(row.name for row in PROTOCOLS if row.lists)
        raise ValueError(
            f"{name} must have published lists; it has none (they exist for "
            f"{with_lists}). It comes from {protocol.source}."
        )
    wanted = list(protocol.lists) if splits is None else list(splits)
    unknown = [split for split in wanted if split not in protocol.lists]
    if unknown or not wanted:
        raise ValueError(
            f"splits must be among {shown(protocol.lists)}, the lists of {name}; got "
            f"{shown(wanted)}."
        )
    # All are looked for before the first is read, which may take a while.
    files = {split: _find_list(protocol, split, folder) for split in wanted}
    lists = {split: read_list(file, folder) for split, file in files.items()}
    for split, listed in lists.items():
        _check_published(protocol, split, listed, files[split])
    return ProtocolLists(lists, _class_names(protocol, folder, lists[wanted[0]]))


def _find_list(protocol: Protocol, split: str, folder: Path) -> Path:
    name = protocol.lists[split]
    for file in (folder / name, folder / f"{name}.gz"):
        if file.exists():
            return existing_file(file)
    raise FileNotFoundError(
        f"{folder} must hold {name} or {name}.gz, the {split} list of "
        f"{protocol.title}; it holds neither. Get it from {protocol.source}."
    )


def _class_names(
    protocol: Protocol, folder: Path, listed: ListFile
) -> tuple[str, ...] | None:
    """Name the classes in the order of labels, by the folders of their images."""
    if protocol.class_names is None or not (folder / protocol.class_names).exists():
        return None
    names = read_class_names(folder / protocol.class_names)
    _, first = np.unique(listed.labels, return_index=True)
    keys = [PurePosixPath(listed.paths[row]).parent.name for row in first]
    unknown = [key for key in keys if key not in names]
    if unknown:
        raise ValueError(
            f"{folder / protocol.class_names} must name every class by the folder of "
            f"its images; it lacks {shown(unknown)}. Get it again, or remove it."
        )
    return tuple(names[key] for key in keys)


def _check_published(
    protocol: Protocol, split: str, listed: ListFile, file: Path
) -> None:
    counts = np.bincount(listed.labels, minlength=protocol.n_classes)
    compared = {
        "number of images": (len(listed.paths), protocol.sizes[split]),
        "number of classes": (int(np.count_nonzero(counts)), protocol.n_classes),
        "largest label": (len(counts) - 1, protocol.n_classes - 1),
    }
    if split == "train":
        compared["largest class"] = (int(counts.max()), protocol.largest)
        compared["smallest class"] = (int(counts.min()), protocol.smallest)
    for what, (came, published) in compared.items():
        if came != published:
            raise ValueError(
                f"{file} must be the published {split} list of {protocol.title}: its "
                f"{what} must be {published:,}; got {came:,}. Get it from "
                f"{protocol.source}, or read a list of your own with read_list."
            )
