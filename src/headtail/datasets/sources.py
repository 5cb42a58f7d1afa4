"""Where an `ImageSet` comes from: folders, lists, arrays, Hugging Face data sets."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headtail.datasets.image_files import (
    IMAGE_SUFFIXES,
    ImageFiles,
    naming_damage,
    rgb,
)
from headtail.datasets.image_set import ImageSet
from headtail.datasets.list_file import read_list
from headtail.files import existing_file, open_error, read_arrays
from headtail.tensors import shown

__all__ = [
    "check_files",
    "image_arrays",
    "image_folder",
    "image_list",
    "images_from_hugging_face",
    "load_images",
]


def load_images(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    allow_empty: bool = False,
) -> ImageSet:
    """Read images by what `path` is: a folder, an ``.npz`` file, or a list.

    Parameters
    ----------
    path
        A folder with one folder a class (`image_folder`), an ``.npz`` file
        (`image_arrays`), or a list file ``.txt`` or ``.txt.gz`` (`image_list`).
    root
        For a list: the folder that its paths begin at; None for that of the list.
    allow_empty
        See `image_folder`.
    """
    path = Path(path)
    if path.is_dir():
        return image_folder(path, allow_empty=allow_empty)
    path = existing_file(path)
    if path.suffix == ".npz":
        return image_arrays(path)
    if path.suffixes[-2:] == [".txt", ".gz"] or path.suffix == ".txt":
        return image_list(path, path.parent if root is None else root)
    raise ValueError(
        f"{path} must be a folder of images, an .npz file, or a list .txt or .txt.gz; "
        f"got {path.suffix!r}."
    )


def image_folder(
    folder: str | os.PathLike[str],
    *,
    nested: bool = False,
    allow_empty: bool = False,
) -> ImageSet:
    """Read a folder with one folder a class; the folders' names are the classes.

    Classes are in the order of names. Images may lie deeper inside a class's folder.

    Parameters
    ----------
    folder
        Of the class folders.
    nested
        Every folder that holds images itself is a class, however deep it lies, as in
        SUN-397; its name is its path.
    allow_empty
        Let a class have no image; its name keeps its place.

    Raises
    ------
    FileNotFoundError
        If there is no folder, no class, or a class without images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} must be a folder; it is not. Check the path."
        )
    if nested:
        by_class: dict[str, list[Path]] = {}
        for file in _images_below(folder):
            by_class.setdefault(file.parent.relative_to(folder).as_posix(), []).append(
                file
            )
        classes = sorted(by_class)
        files = [by_class[name] for name in classes]
    else:
        classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        classes = [name for name in classes if not name.startswith(".")]
        files = [_images_below(folder / name) for name in classes]
    if not classes:
        raise FileNotFoundError(
            f"{folder} must hold one folder a class; it holds no folder."
        )
    empty = [name for name, found in zip(classes, files, strict=True) if not found]
    if empty and not allow_empty:
        raise FileNotFoundError(
            f"Every class folder in {folder} must hold an image "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}); {shown(empty)} hold none. Remove "
            "them, or allow empty classes."
        )
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in files])
    return ImageSet(ImageFiles([f for found in files for f in found]), labels, classes)


def image_list(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
) -> ImageSet:
    """Read a list file, ``path label`` per line, whose paths begin at `root`.

    The format of the published ImageNet-LT, Places-LT and iNaturalist lists. A label
    that no line has is a class without images: without `class_names`, there is a
    warning.

    No path may lead out of `root`; links inside of it are followed.

    Raises
    ------
    FileNotFoundError
        If files of the list do not exist: all are looked for before any is read.
    ValueError
        If a path leads out of `root`, by ``..`` or as an absolute one.
    """
    root = Path(root)
    listed = read_list(path, root)
    paths = [os.path.join(root, name) for name in listed.paths]  # noqa: PTH118
    check_files(paths, path, root)
    data = ImageSet(ImageFiles(paths), listed.labels, class_names)
    empty = (data.class_counts == 0).nonzero()[0]
    if len(empty) and class_names is None:
        warnings.warn(
            f"{path}: classes {shown(empty)} have no image; they keep their place.",
            stacklevel=2,
        )
    return data


def image_arrays(path: str | os.PathLike[str]) -> ImageSet:
    """Read an ``.npz`` file: `images` (uint8 NHWC), `labels`, maybe `class_names`."""
    path = existing_file(path)
    try:
        _, arrays = read_arrays(path, ("images", "labels", "class_names"))
    except Exception as error:  # a damaged archive fails in many ways
        raise open_error(path, error, ".npz file without pickled objects") from error
    lacking = [name for name in ("images", "labels") if name not in arrays]
    if lacking:
        raise ValueError(
            f"{path} must hold arrays 'images' and 'labels'; {lacking} are missing."
        )
    names = arrays.get("class_names")
    names = None if names is None else names.tolist()
    try:
        return ImageSet(arrays["images"], arrays["labels"], names)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def images_from_hugging_face(
    dataset: Any, *, image: str = "image", label: str = "label"
) -> ImageSet:
    """Take one split of a Hugging Face data set, with its columns of these names.

    Images are decoded when they are asked for. Class names are those of the label
    column, if it is a `ClassLabel`.
    """
    columns = list(getattr(dataset, "column_names", None) or [])
    lacking = [name for name in (image, label) if name not in columns]
    if lacking:
        raise ValueError(
            f"The data set must have the columns {image!r} and {label!r}; it has "
            f"{columns}. Choose one split, and name its columns with image= and label=."
        )
    names = getattr(dataset.features[label], "names", None)
    return ImageSet(_Column(dataset, image), np.asarray(dataset[label]), names)


def check_files(paths: Sequence[str], source: object, root: object) -> None:
    """Refuse files of a list that do not exist, before any is read."""
    # A pipe or a device is no file.
    missing = [path for path in paths if not os.path.isfile(path)]  # noqa: PTH113
    if missing:
        raise FileNotFoundError(
            f"All files of {source} must exist below {root}; {len(missing)} of "
            f"{len(paths)} do not: {shown(missing)}. Check the root."
        )


class _Column(Sequence[Any]):
    """The images of a column, decoded when they are asked for."""

    def __init__(self, dataset: Any, name: str) -> None:
        self._dataset, self._name = dataset, name

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, position: Any) -> Any:
        if not -len(self) <= position < len(self):
            raise IndexError(position)
        with naming_damage(f"Row {position} of column {self._name!r}"):
            image = self._dataset[int(position)][self._name]
            if not hasattr(image, "mode"):
                raise ValueError(f"it is of {type(image)}")
            return rgb(image)

    @property
    def names(self) -> list[str]:
        """What tells the images apart."""
        whole = getattr(self._dataset, "_fingerprint", "")
        return [f"{whole}/{self._name}/{row}" for row in range(len(self))]


def _images_below(folder: Path) -> list[Path]:
    # Hidden files are other programs' own, such as the ._1.jpg of macOS.
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
