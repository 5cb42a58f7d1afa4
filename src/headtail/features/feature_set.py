"""Features with their labels and class names: what every method starts from."""

import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.features.columns import Columns
from headtail.features.files import load_columns, save_columns
from headtail.labels import check_lengths, positions_of
from headtail.shards import ShardedArray
from headtail.tensors import as_tensor, row_windows, shown

__all__ = ["FeatureSet"]

# Numbers that are looked at together.
_CHECKED_AT_ONCE = 2**22


class FeatureSet:
    """Features, labels and, if they are known, the names of the classes.

    Parameters
    ----------
    features
        Array or tensor [n_samples, n_features] of finite numbers; may be a memory map.
        Nothing is copied.
    labels
        Integers [n_samples], at least 0; text labels are taken as names of classes.
        None for features that have none.
    class_names
        Distinct names; label i belongs to class_names[i].

    Attributes
    ----------
    features
        ndarray of shape (n_samples, n_features), as it came; a `ShardedArray`, which
        reads like one, for shards that are not joined in memory.
    labels
        ndarray of int64 of shape (n_samples,), or None.
    class_names
        Tuple of names, or None.
    zero_rows
        Number of rows that are all zero: their unit vector is taken as zero.

    Examples
    --------
    >>> data = FeatureSet([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], ["cat", "lynx", "cat"])
    >>> data.labels, data.class_names
    (array([0, 1, 0]), ('cat', 'lynx'))
    >>> data.subset([1]).features
    array([[3., 4.]])
    """

    def __init__(
        self,
        features: Any,
        labels: Any,
        class_names: npt.ArrayLike | None = None,
    ) -> None:
        self.features = _array(features)
        shape = self.features.shape
        if len(shape) != 2 or not shape[1] or self.features.dtype.kind not in "fiu":
            raise ValueError(
                "features must be numbers [n_samples, n_features]; got "
                f"{self.features.dtype} of shape {list(self.features.shape)}."
            )
        self.zero_rows = _checked_rows(self.features)
        names = None if class_names is None else _names(class_names)
        self.labels: npt.NDArray[np.int64] | None = None
        if labels is not None:
            self.labels, names = _labels(labels, len(self.features), names)
        self.class_names = names

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        n_samples, n_features = self.features.shape
        return f"FeatureSet(n_samples={n_samples}, n_features={n_features})"

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The labels; an error if there are none."""
        if self.labels is None:
            raise ValueError(
                "These features have no labels; labels are needed here. Add an array "
                "'labels' to the file."
            )
        return self.labels

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, in_memory: bool | None = None
    ) -> "FeatureSet":
        """Read ``.npz``, ``.safetensors``, ``.parquet`` or a folder of such shards.

        Features stay on disk, memory-mapped, in safetensors files and in ``.npz`` files
        without compression. 8-bit features with the scalars `scale` and `zero_point`
        are read as (q - zero_point) · scale. Rows of zeros are reported by a warning.

        Parameters
        ----------
        path
            File or folder.
        in_memory
            Of a folder: whether its shards are joined in memory; else they are read
            shard by shard, each time that they are needed. None joins up to 1 GiB.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If the file is truncated or foreign, or its arrays do not fit each other.
        """
        columns = load_columns(path, in_memory=in_memory)
        try:
            data = cls(*columns)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{path}: {error}") from error
        except RuntimeError as error:  # torch cannot compute with every type and shape
            raise ValueError(
                f"{path} must hold numbers that can be computed with; {error}."
            ) from error
        if data.zero_rows:
            warnings.warn(
                f"{data.zero_rows} of {len(data)} rows in {path} are all zero; their "
                "unit vector is taken as zero.",
                stacklevel=2,
            )
        return data

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file that the suffix of `path` names; without one, a folder.

        A folder gets shards of 65,536 rows. The file appears whole or not at all.
        """
        save_columns(path, Columns(self.features, self.labels, self.class_names))

    def subset(self, rows: npt.ArrayLike) -> "FeatureSet":
        """Return the rows with these indices, or where this mask is true."""
        rows = np.asarray(rows)
        rows = rows if rows.size else rows.astype(np.int64)
        labels = None if self.labels is None else self.labels[rows]
        return FeatureSet(self.features[rows], labels, self.class_names)

    def split(
        self, fraction: float, *, random_state: int | None = None
    ) -> tuple["FeatureSet", "FeatureSet"]:
        """Split at random into the rest and `fraction`, class by class.

        A class of n examples puts about n · fraction of them into the second part and
        keeps at least one in the first. A class of one stays in the first.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must lie between 0 and 1; got {fraction}.")
        generator = np.random.default_rng(random_state)
        order = generator.permutation(len(self))
        order = order[np.argsort(self.targets[order], kind="stable")]
        _, starts, counts = np.unique(
            self.targets[order], return_index=True, return_counts=True
        )
        rank = np.arange(len(self)) - np.repeat(starts, counts)
        taken = np.minimum(np.rint(counts * fraction), counts - 1)
        second = np.zeros(len(self), dtype=bool)
        second[order[rank < np.repeat(taken, counts)]] = True
        return self.subset(~second), self.subset(second)


def _array(features: Any) -> Any:
    if isinstance(features, ShardedArray):
        return features
    if isinstance(features, Tensor):
        features = features.detach().cpu()
        if features.dtype == torch.bfloat16:
            features = features.float()
        return np.asarray(features.numpy())
    return features if isinstance(features, np.ndarray) else np.asarray(features)


def _names(class_names: npt.ArrayLike) -> tuple[str, ...]:
    if isinstance(class_names, list | tuple):
        check_lengths(class_names)
    names = np.asarray(class_names)
    if names.ndim != 1 or not all(isinstance(name, str) for name in names.tolist()):
        raise TypeError(
            f"class_names must be a list of text; got {names.dtype} of shape "
            f"{list(names.shape)}."
        )
    values, counts = np.unique(names, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"class_names must be distinct; {shown(values[counts > 1])} come twice."
        )
    return tuple(names.tolist())


def _labels(
    labels: Any, n_samples: int, names: tuple[str, ...] | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    """Return labels as int64 and the class names, which text labels bring along."""
    values = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if values.shape != (n_samples,):
        raise ValueError(
            f"labels must have one entry per row of features ({n_samples}); got shape "
            f"{list(values.shape)}."
        )
    if values.dtype.kind in "UO" and all(isinstance(x, str) for x in values.tolist()):
        if values.dtype.kind == "O":
            check_lengths(values.tolist())
        return _named(values.astype(str), names)
    if values.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers or text; got {values.dtype}. Encode them as "
            "positions in class_names."
        )
    values = values.astype(np.int64)
    n_classes = np.iinfo(np.int64).max if names is None else len(names)
    wrong = (values < 0) | (values >= n_classes)
    if wrong.any():
        bound = "at least 0" if names is None else f"in 0 … {n_classes - 1}"
        raise ValueError(
            f"labels must be {bound}; got {shown(np.unique(values[wrong]))}."
        )
    return values, names


def _named(
    values: npt.NDArray[np.str_], names: tuple[str, ...] | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    known = np.unique(values) if names is None else np.asarray(names, dtype=str)
    codes = positions_of(values, known)
    unknown = codes < 0
    if unknown.any():
        raise ValueError(
            "labels must be names in class_names; got "
            f"{shown(np.unique(values[unknown]))}."
        )
    return codes.astype(np.int64), tuple(known.tolist())


def _checked_rows(features: npt.NDArray[Any] | ShardedArray) -> int:
    """Return how many rows are all zero; refuse rows that are not finite."""
    zero_rows = 0
    bad: list[int] = []
    table = as_tensor(features)
    for rows in row_windows(table, _CHECKED_AT_ONCE):
        block = table[rows]
        finite = torch.isfinite(block).all(dim=1)
        bad += (rows.start + (~finite).nonzero().flatten()).tolist()
        zero_rows += int((block == 0).all(dim=1).sum())
    if bad:
        raise ValueError(
            f"features must be finite; {len(bad)} rows hold NaN or inf (rows "
            f"{shown(bad)}). Extract them again or drop them."
        )
    return zero_rows
