"""Statistics in files: one safetensors file, checked when it is read."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from headtail.files import MISFITS, open_metadata, read_tensors, write_tensors
from headtail.statistics.class_statistics import ClassStatistics
from headtail.tensors import shown

__all__ = [
    "StoredStatistics",
    "holds_statistics",
    "load_statistics",
    "save_statistics",
]

_KIND = "class_statistics"
# What a file holds, in the order of `ClassStatistics.from_tensors`: type, dimensions.
_TENSORS = {
    "class_counts": (torch.int64, 1),
    "zero_counts": (torch.int64, 1),
    "sums": (torch.float64, 2),
    "unit_sums": (torch.float64, 2),
}
# A sum of n unit vectors is no longer than n, up to the rounding that `forget` leaves.
_ROUNDING = 1e-5


class StoredStatistics(NamedTuple):
    """Statistics and, if they are known, the names of their classes.

    Attributes
    ----------
    statistics
        Row i is class i.
    class_names
        Distinct names, one per class; None if they are not known.

    Examples
    --------
    >>> StoredStatistics(ClassStatistics(1, 3), ("lynx",)).statistics
    ClassStatistics(n_classes=1, n_features=3, n_samples=0)
    """

    statistics: ClassStatistics
    class_names: tuple[str, ...] | None


def save_statistics(
    path: str | os.PathLike[str],
    statistics: ClassStatistics,
    class_names: Sequence[str] | None = None,
) -> None:
    """Write statistics to one safetensors file, which appears whole or not at all.

    The same statistics give the same bytes.

    Parameters
    ----------
    path
        Of the file; its folder must exist.
    statistics
        What to write.
    class_names
        Distinct names, one per class.

    Raises
    ------
    ValueError
        If there are more or fewer names than classes, or a name comes twice.

    Examples
    --------
    >>> import tempfile
    >>> statistics = ClassStatistics(2, 2).update([[3.0, 4.0]], [1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_statistics(f"{folder}/seen.safetensors", statistics, ["cat", "lynx"])
    ...     load_statistics(f"{folder}/seen.safetensors").class_names
    ('cat', 'lynx')
    """
    names = None if class_names is None else list(class_names)
    _check_names(names, statistics.n_classes)
    tensors = {name: getattr(statistics, name) for name in _TENSORS}
    write_tensors(path, tensors, {_KIND: {"class_names": names}})


def load_statistics(path: str | os.PathLike[str]) -> StoredStatistics:
    """Read what `save_statistics` wrote.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If the file is truncated or foreign, or its numbers cannot be sums of examples.

    Examples
    --------
    >>> import tempfile
    >>> statistics = ClassStatistics(2, 2).update([[3.0, 4.0]], [1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_statistics(f"{folder}/seen.safetensors", statistics)
    ...     load_statistics(f"{folder}/seen.safetensors").statistics.sums[1]
    tensor([3., 4.], dtype=torch.float64)
    """
    tensors, metadata = read_tensors(path)
    try:
        if _KIND not in metadata:
            raise ValueError(f"its metadata say nothing of {_KIND}")
        names: Any = metadata[_KIND]["class_names"]
        _check_tensors(tensors)
        _check_names(names, len(tensors["class_counts"]))
        statistics = ClassStatistics.from_tensors(*(tensors[name] for name in _TENSORS))
    except MISFITS as error:
        raise ValueError(
            f"{Path(path)} must hold class statistics; {error!s}. Write it again with "
            "save_statistics."
        ) from error
    return StoredStatistics(statistics, None if names is None else tuple(names))


def holds_statistics(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is one that `save_statistics` wrote.

    Examples
    --------
    >>> holds_statistics("features.npz")
    False
    """
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        return _KIND in (open_metadata(path) or {})
    except (OSError, ValueError):
        return False


def _check_names(names: Any, n_classes: int) -> None:
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("class_names must be a list of text; they hold something else")
    if len(names) != n_classes or len(set(names)) != len(names):
        raise ValueError(
            f"class_names must be distinct, one for each of {n_classes} classes; got "
            f"{len(names)}, of which {len(set(names))} are distinct"
        )


def _check_tensors(tensors: dict[str, Tensor]) -> None:
    """Refuse what no examples could have come to."""
    if set(tensors) != set(_TENSORS):
        raise ValueError(f"it has the tensors {sorted(tensors)}, not {list(_TENSORS)}")
    counts, zeros, sums, unit_sums = (tensors[name] for name in _TENSORS)
    for name, (dtype, n_dimensions) in _TENSORS.items():
        if tensors[name].dtype != dtype or tensors[name].ndim != n_dimensions:
            raise ValueError(f"{name} is not of {dtype} in {n_dimensions} dimensions")
    if not len(counts) == len(zeros) == len(sums) or sums.shape != unit_sums.shape:
        raise ValueError(
            f"its shapes {[list(tensor.shape) for tensor in tensors.values()]} do not "
            "fit each other"
        )
    lengths = torch.linalg.vector_norm(unit_sums, dim=1)
    longest = (counts - zeros) * (1 + _ROUNDING) + _ROUNDING
    # A comparison with NaN is false, so that it is wrong too.
    right = (zeros >= 0) & (lengths <= longest)
    right &= sums.isfinite().all(dim=1) & ((counts > 0) | (sums == 0).all(dim=1))
    wrong = (~right).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(f"the numbers of classes {shown(wrong)} cannot be sums")
