"""Statistics of a part of the data, and how parts are put together."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from headtail.features import FeatureSet
from headtail.features.columns import Columns
from headtail.features.files import load_columns
from headtail.scale.addresses import Shard, local_file
from headtail.statistics import ClassStatistics
from headtail.tensors import row_blocks

__all__ = ["PartialStatistics", "merge_parts", "summarise_shard"]

# 256 MiB of float32: a shard that is larger is gone through in blocks.
_BLOCK_NUMBERS = 2**26
# From this share of the classes on there is a row for each of them: parts that are
# added afterwards find theirs there.
_DENSE = 0.25
_TENSORS = ("class_counts", "zero_counts", "sums", "unit_sums")


@dataclass(frozen=True)
class PartialStatistics:
    """Statistics of some of the data.

    Attributes
    ----------
    statistics
        A row for each of `classes`: a shard has few of a million classes.
    classes
        Positions, ascending: those of all classes that occur, maybe of others.
    n_classes
        How many classes there are; without names, as the largest label says.
    class_names
        Those that the file declares; else those of its text labels, in their order;
        None if labels are numbers that have no names.
    declared
        Whether the file declares them: then all parts must declare the same.
    first
        The shard that this begins with, for errors.
    """

    statistics: ClassStatistics
    classes: Int[Tensor, " n_rows"]
    n_classes: int
    class_names: tuple[str, ...] | None
    declared: bool
    first: str

    def whole(self) -> ClassStatistics:
        """Return the statistics with a row for each class."""
        if len(self.classes) == self.n_classes:
            return self.statistics
        return _spread(self.statistics, self.classes, self.n_classes)


def summarise_shard(shard: Shard) -> PartialStatistics:
    """Return the statistics of a shard; its blocks are read one after another.

    Raises
    ------
    OSError, ValueError
        If it is no whole file of features with labels.
    """
    with local_file(shard) as path:
        columns = load_columns(path)
        if columns.labels is None:
            raise ValueError(f"{shard} must hold labels; add an array 'labels'.")
        shape = np.shape(columns.features)
        if len(shape) != 2 or np.shape(columns.labels) != shape[:1]:
            raise ValueError(
                f"{shard} must hold features [n_samples, n_features] and one label "
                f"each; got shapes {list(shape)} and {list(np.shape(columns.labels))}."
            )
        # An empty shard has a width and maybe names all the same.
        blocks = list(row_blocks(shape[0], shape[1], _BLOCK_NUMBERS)) or [slice(0, 0)]
        return merge_parts(*(_summarise(shard, columns, block) for block in blocks))


def merge_parts(*parts: PartialStatistics) -> PartialStatistics:
    """Return the statistics of all parts together, added in the order given.

    The sums of the first part may be changed: they are those of the result.

    Raises
    ------
    ValueError
        If the parts differ in width, or in the class names that they declare.
    """
    whole, *others = parts
    for part in others:
        whole = _merged(whole, part)
    return whole


def _summarise(shard: Shard, columns: Columns, rows: slice) -> PartialStatistics:
    features, labels, names = columns
    try:
        data = FeatureSet(features[rows], labels[rows], names)
        n_classes = (
            int(data.targets.max(initial=-1)) + 1
            if data.class_names is None
            else len(data.class_names)
        )
        classes, rows_of = np.unique(data.targets, return_inverse=True)
        width = data.features.shape[1]
        statistics = ClassStatistics(len(classes), width)
        statistics.update(data.features, rows_of)
        # Nothing is written there: what no machine holds is told before all is read.
        torch.empty(2, n_classes, width, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        place = f"{shard}, rows {rows.start} … {rows.stop - 1}"
        raise kind(f"{place}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        raise ValueError(
            f"{shard} must hold labels whose statistics fit into memory; {error}. "
            "Number the classes 0 … n_classes-1."
        ) from error
    # A copy: sums may share their memory with others, and would be sent along twice.
    return PartialStatistics(
        statistics.copy(),
        torch.from_numpy(classes),
        n_classes,
        data.class_names,
        names is not None,
        str(shard),
    )


def _merged(one: PartialStatistics, other: PartialStatistics) -> PartialStatistics:
    widths = one.statistics.n_features, other.statistics.n_features
    if widths[0] != widths[1]:
        raise ValueError(
            f"{other.first} must have the width of {one.first}; it has {widths[1]} "
            f"features, not {widths[0]}."
        )
    names = one.class_names
    if not one.declared and not other.declared:
        names = _joined_names(one, other)
    elif not (one.declared and other.declared) or names != other.class_names:
        raise ValueError(
            f"{other.first} must have the class names of {one.first}; they differ."
        )
    n_classes = max(one.n_classes, other.n_classes, len(names or ()))
    classes, added = _positions(one, names), _positions(other, names)
    statistics = one.statistics
    if not _holds(classes, added):
        every = torch.unique(torch.cat([classes, added]))
        if len(every) >= _DENSE * n_classes:
            every = torch.arange(n_classes)
        places = torch.searchsorted(every, classes)
        statistics, classes = _spread(statistics, places, len(every)), every
    places = torch.searchsorted(classes, added)
    for name in _TENSORS:
        getattr(statistics, name).index_add_(0, places, getattr(other.statistics, name))
    return PartialStatistics(
        statistics, classes, n_classes, names, one.declared, one.first
    )


def _joined_names(
    one: PartialStatistics, other: PartialStatistics
) -> tuple[str, ...] | None:
    """Return the text labels of both, sorted; None if labels are numbers."""
    for part, beside in ((one, other), (other, one)):
        # A part without examples says nothing of the kind of its labels.
        if not part.class_names and not part.n_classes:
            return beside.class_names
    if (one.class_names is None) != (other.class_names is None):
        raise ValueError(
            f"{other.first} must have labels of the kind of those in {one.first}; one "
            "has numbers, the other text."
        )
    if one.class_names is None or other.class_names is None:
        return None
    return tuple(sorted({*one.class_names, *other.class_names}))


def _positions(
    part: PartialStatistics, names: tuple[str, ...] | None
) -> Int[Tensor, " n_rows"]:
    """Return where the rows of a part belong among the names."""
    if names is None or part.class_names == names:
        return part.classes
    among = np.searchsorted(names, part.class_names or ())
    return torch.from_numpy(among)[part.classes]


def _holds(classes: Int[Tensor, " n_rows"], others: Int[Tensor, " n_others"]) -> bool:
    """Tell whether ascending positions hold all the others."""
    if not len(classes):
        return False
    places = torch.searchsorted(classes, others).clamp(max=len(classes) - 1)
    return bool((classes[places] == others).all())


def _spread(
    statistics: ClassStatistics, places: Int[Tensor, " n_rows"], n_rows: int
) -> ClassStatistics:
    """Return a copy with its rows at these places, and rows without example."""
    spread = ClassStatistics(n_rows, statistics.n_features)
    for name in _TENSORS:
        getattr(spread, name)[places] = getattr(statistics, name)
    return spread
