"""Images with their labels and class names: what training and extraction start from."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.tensors import fingerprint, shown

__all__ = ["ImageSet"]

Image = npt.NDArray[np.uint8]


class ImageSet:
    """Images, labels and, if they are known, the names of the classes.

    Parameters
    ----------
    images
        uint8 array [n_samples, height, width, 3], which may be a memory map; or a
        sequence whose items are read when they are asked for, each uint8 [height,
        width, 3] of any size, such as `ImageFiles`.
    labels
        Integers [n_samples], at least 0.
    class_names
        Distinct names; label i belongs to class_names[i].

    Examples
    --------
    >>> import numpy as np
    >>> data = ImageSet(np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 0], ["cat", "lynx"])
    >>> data
    ImageSet(n_samples=3, n_classes=2)
    >>> data.class_counts
    array([2, 1])
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8] | Sequence[Image],
        labels: npt.ArrayLike,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if isinstance(images, np.ndarray) and (
            images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3
        ):
            raise ValueError(
                "images must be uint8 [n_samples, height, width, 3]; got "
                f"{images.dtype} of shape {list(images.shape)}."
            )
        self.images = images
        self.labels = _checked_labels(labels, len(images))
        self.class_names = None if class_names is None else _checked_names(class_names)
        if self.class_names is not None:
            beyond = np.unique(self.labels[self.labels >= len(self.class_names)])
            if len(beyond):
                raise ValueError(
                    f"labels must be in 0 … {len(self.class_names) - 1}, the positions "
                    f"in class_names; got {shown(beyond)}."
                )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"ImageSet(n_samples={len(self)}, n_classes={self.n_classes})"

    @property
    def n_classes(self) -> int:
        """Number of class names; without names, the largest label + 1."""
        if self.class_names is not None:
            return len(self.class_names)
        return int(self.labels.max()) + 1 if len(self.labels) else 0

    @property
    def class_counts(self) -> npt.NDArray[np.int64]:
        """Images per class, 0 for a class that has none."""
        return np.bincount(self.labels, minlength=self.n_classes)

    def fingerprint(self) -> str:
        """Return a short hash of the labels, and of the pixels or the files' paths.

        Paths count from the folder that all lie in: it may be moved. Of a sequence that
        has no `names` only the labels count.
        """
        images: Any = self.images
        if isinstance(images, np.ndarray):
            return fingerprint(images, self.labels)
        names = "\n".join(getattr(images, "names", []))
        return fingerprint(np.frombuffer(names.encode(), np.uint8), self.labels)

    def check_fits(self, train: "ImageSet", name: str) -> None:
        """Refuse images, the `name` images, of other classes than the training images.

        Raises
        ------
        ValueError
            If both have class names and these differ, or a class has no training image.
        """
        both = None not in (self.class_names, train.class_names)
        if both and self.class_names != train.class_names:
            raise ValueError(
                f"The class names of the {name} and the training images must be the "
                "same, in the same order; they differ."
            )
        unknown = np.setdiff1d(self.labels, train.labels)
        if len(unknown):
            raise ValueError(
                f"Classes {shown(unknown)} occur in the {name} images but have no "
                "training image. Leave them out."
            )

    def subset(self, rows: npt.ArrayLike) -> "ImageSet":
        """Return the images with these indices, or where this mask is true."""
        rows = np.asarray(rows)
        if rows.dtype == np.bool_:
            rows = rows.nonzero()[0]
        rows = rows.astype(np.int64)
        images: Any = self.images
        picked = (
            images[rows] if isinstance(images, np.ndarray) else _Picked(images, rows)
        )
        return ImageSet(picked, self.labels[rows], self.class_names)


class _Picked(Sequence[Image]):
    """Some items of a sequence, read when they are asked for."""

    def __init__(self, items: Sequence[Image], rows: npt.NDArray[np.int64]) -> None:
        self._items, self._rows = items, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: Any) -> Any:
        return self._items[int(self._rows[position])]

    @property
    def paths(self) -> list[str]:
        """Those of the items, if they are files."""
        paths: Sequence[str] = self._items.paths  # type: ignore[attr-defined]
        return [paths[row] for row in self._rows]

    @property
    def names(self) -> list[str]:
        """Those of the items, if they have names."""
        names: Sequence[str] = self._items.names  # type: ignore[attr-defined]
        return [names[row] for row in self._rows]


def _checked_labels(labels: npt.ArrayLike, n_samples: int) -> npt.NDArray[np.int64]:
    values = np.asarray(labels)
    if values.shape != (n_samples,):
        raise ValueError(
            f"labels must have one entry per image ({n_samples}); got shape "
            f"{list(values.shape)}."
        )
    if len(values) and values.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, positions in class_names; got {values.dtype}."
        )
    values = values.astype(np.int64)
    if (values < 0).any():
        raise ValueError(f"labels must be at least 0; got {shown(values[values < 0])}.")
    return values


def _checked_names(class_names: Sequence[str]) -> tuple[str, ...]:
    names = tuple(str(name) for name in class_names)
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"class_names must be distinct; {shown(twice)} come twice.")
    return names
