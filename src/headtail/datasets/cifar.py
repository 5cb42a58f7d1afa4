"""CIFAR-10 and CIFAR-100 from their binary version: nothing is unpickled."""

import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from headtail.datasets.image_set import ImageSet
from headtail.datasets.profiles import exponential_counts, subsample
from headtail.files import check_unpacked, open_error, written_whole
from headtail.tensors import shown
from headtail.torchvision_operators import import_torchvision

__all__ = ["cifar", "cifar_lt", "cifar_lt_splits"]

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_ADDRESS = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What the archive of one data set holds."""

    archive: str
    md5: str
    folder: str
    n_classes: int
    label_bytes: int
    """Bytes before the pixels; the last is the label."""
    names: str
    files: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, int]


_SOURCES: dict[str, _Source] = {
    "cifar10": _Source(
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        n_classes=10,
        label_bytes=1,
        names="batches.meta.txt",
        files={
            "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        sizes={"train": 50_000, "test": 10_000},
    ),
    "cifar100": _Source(
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        n_classes=100,
        label_bytes=2,
        names="fine_label_names.txt",
        files={"train": ("train.bin",), "test": ("test.bin",)},
        sizes={"train": 50_000, "test": 10_000},
    ),
}


def cifar(
    name: Literal["cifar10", "cifar100"],
    folder: str | os.PathLike[str],
    *,
    split: Literal["train", "test"],
    download: bool = False,
) -> ImageSet:
    """Read CIFAR-10 or CIFAR-100 with its class names (of CIFAR-100, the fine ones).

    Parameters
    ----------
    name
        ``"cifar10"`` or ``"cifar100"``.
    folder
        Holds the binary version: the archive ``cifar-10-binary.tar.gz`` or
        ``cifar-100-binary.tar.gz``, or what it contains.
    split
        ``"train"`` (50,000 images) or ``"test"`` (10,000).
    download
        Whether to fetch the archive into `folder` if the files are not there.

    Examples
    --------
    >>> cifar("cifar10", "no/such/folder", split="test")
    Traceback (most recent call last):
    FileNotFoundError: no/such/folder must hold cifar-10-binary.tar.gz ...
    """
    if name not in _SOURCES:
        raise ValueError(f"Unknown name {name!r}. Known names: {', '.join(_SOURCES)}.")
    source = _SOURCES[name]
    if split not in source.files:
        raise ValueError(f"split must be 'train' or 'test'; got {split!r}.")
    wanted = (source.names, *source.files[split])
    contents = _read_files(source, Path(folder), wanted, download=download)
    class_names = contents[0].decode("utf-8", "replace").split()
    if len(class_names) != source.n_classes:
        raise ValueError(
            f"{source.names} of {source.archive} must hold {source.n_classes} names; "
            f"got {len(class_names)}. Get the archive again from {_ADDRESS}."
        )
    return _decode(source, b"".join(contents[1:]), class_names, source.sizes[split])


def cifar_lt(
    name: Literal["cifar10", "cifar100"],
    folder: str | os.PathLike[str],
    imbalance_ratio: float,
    seed: int,
    *,
    download: bool = False,
) -> ImageSet:
    """Return a long-tailed training set drawn from CIFAR: class 0 keeps everything.

    Counts are those of `exponential_counts`: for CIFAR-100 and a ratio of 10, 50 or
    100, there are 19,573, 12,608 or 10,847 images in all, as in the papers. Which
    images they are depends on the seed. The test set stays balanced: `cifar` with
    ``split="test"``.

    References
    ----------
    Cui et al. "Class-balanced loss based on effective number of samples." CVPR 2019.
    https://arxiv.org/abs/1901.05555

    Examples
    --------
    >>> cifar_lt("cifar100", "no/such/folder", imbalance_ratio=100, seed=0)
    Traceback (most recent call last):
    FileNotFoundError: no/such/folder must hold cifar-100-binary.tar.gz ...
    """
    train, _, _ = cifar_lt_splits(
        name, folder, imbalance_ratio, seed, download=download
    )
    return train


def cifar_lt_splits(
    name: Literal["cifar10", "cifar100"],
    folder: str | os.PathLike[str],
    imbalance_ratio: float,
    seed: int,
    *,
    n_validation: int = 10,
    download: bool = False,
) -> tuple[ImageSet, ImageSet, ImageSet]:
    """Return the set of `cifar_lt`, a validation set, and the balanced test set.

    The validation set holds up to `n_validation` images of each class from those that
    the long tail leaves out: none of class 0, which keeps everything.
    """
    data = cifar(name, folder, split="train", download=download)
    largest = int(data.class_counts.min())
    counts = exponential_counts(data.n_classes, largest, imbalance_ratio)
    chosen, rest = subsample(data.labels, counts, seed)
    left = np.bincount(data.labels[rest], minlength=data.n_classes)
    held, _ = subsample(data.labels[rest], left.clip(max=n_validation), seed)
    test = cifar(name, folder, split="test", download=download)
    return data.subset(chosen), data.subset(rest[held]), test


def _read_files(
    source: _Source, folder: Path, names: tuple[str, ...], *, download: bool
) -> list[bytes]:
    """Read files of the archive: unpacked, in its folder or not, or out of it."""
    for place in (folder / source.folder, folder):
        if all((place / name).is_file() for name in names):
            return [(place / name).read_bytes() for name in names]
    archive = folder / source.archive
    if not archive.is_file():
        if not download:
            raise FileNotFoundError(
                f"{folder} must hold {source.archive} or its files {shown(names)}; it "
                "does not. Pass download=True where there is a network, or get it from "
                f"{_ADDRESS}/{source.archive} (the binary version: the Python version "
                "is pickled, and nothing is unpickled here)."
            )
        _download(f"{_ADDRESS}/{source.archive}", folder, source.md5)
    return _read_members(archive, names)


def _read_members(archive: Path, names: tuple[str, ...]) -> list[bytes]:
    """Read members of a tar by their last name; nothing is written to the disk."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                stream = tar.extractfile(member) if member.isfile() else None
                if name in names and stream is not None:
                    check_unpacked(archive, member.size)
                    found[name] = stream.read()
    except Exception as error:  # a damaged archive fails in many ways
        raise open_error(archive, error, "tar archive") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise FileNotFoundError(
            f"{archive} must hold {shown(names)}; it lacks {shown(missing)}. Get it "
            f"again from {_ADDRESS}/{archive.name}."
        )
    return [found[name] for name in names]


def _decode(
    source: _Source, content: bytes, class_names: list[str], n_samples: int
) -> ImageSet:
    """Take records of labels and pixels apart, and put the channels last."""
    size = source.label_bytes + _PIXELS
    if len(content) != n_samples * size:
        raise ValueError(
            f"The files of {source.archive} must hold {n_samples:,} records of "
            f"{size:,} bytes; they have {len(content):,} bytes, "
            f"{len(content) / size:,.2f} records. Get the archive again from "
            f"{_ADDRESS}/{source.archive}."
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(n_samples, size)
    planes = records[:, source.label_bytes :].reshape(n_samples, 3, _SIDE, _SIDE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    labels = records[:, source.label_bytes - 1].astype(np.int64)
    return ImageSet(images, labels, class_names)


def _download(url: str, folder: Path, md5: str) -> None:
    """Fetch a file whole or not at all, and check its sum."""
    try:
        import_torchvision()
        from torchvision.datasets.utils import download_url
    except ImportError as error:
        raise ImportError(
            "Downloads need torchvision; install it with pip install "
            "'headtail[vision]'."
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / url.rsplit("/", 1)[1]
    try:
        with written_whole(target) as temporary:
            download_url(url, temporary.parent, temporary.name, md5)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"{url} must be reachable, and whole; fetching it failed ({error}). Get it "
            f"where there is a network, and put it into {folder}."
        ) from error
