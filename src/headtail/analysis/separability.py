"""How well prototypes alone tell the classes apart, by whose they are and on what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.analysis._arrays import as_numpy
from headtail.labels import positions_of
from headtail.statistics import ClassStatistics, Convention, ShotGroups, shot_groups
from headtail.tensors import as_tensor, row_blocks, shown, unit

__all__ = ["PrototypeAccuracy", "prototype_accuracy"]


@dataclass(frozen=True, eq=False)
class PrototypeAccuracy:
    """What prototypes of every source reach on every target.

    Attributes
    ----------
    sources, targets
        Names of the sets that prototypes are made from, and of those they are scored
        on.
    groups
        Names of the columns: "many", "medium", "few", "all".
    accuracy
        Mean recall of the classes of every group where the prototypes of all classes
        compete: [n_sources, n_targets, n_groups]. A fraction; NaN for a group of which
        no class counts.
    within_accuracy
        The same where only those of the example's own shot group compete. The column
        "all" is that of `accuracy`.
    n_classes
        Classes that these means rest on, [n_sources, n_targets, n_groups]: those with a
        prototype in the source and an example in the target.
    recall
        Of every class, where all compete: [n_sources, n_targets, n_classes], in the
        order of `class_counts`. NaN for a class that does not count.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    groups: tuple[str, ...]
    accuracy: npt.NDArray[np.float64]
    within_accuracy: npt.NDArray[np.float64]
    n_classes: npt.NDArray[np.int64]
    recall: npt.NDArray[np.float64]


class _Labelled(NamedTuple):
    name: str
    features: Tensor
    positions: Tensor
    statistics: ClassStatistics


def prototype_accuracy(
    sources: Mapping[str, tuple[Any, Any]],
    targets: Mapping[str, tuple[Any, Any]],
    class_counts: Any,
    *,
    classes: Any = None,
    convention: Convention = "decoupling",
) -> PrototypeAccuracy:
    """Classify every target by the nearest prototype of every source, by cosine.

    A prototype is the mean of a class's unit features. Prototypes of training data,
    scored on training data, show what was memorised; those of validation data, scored
    on test data, how separable the features are. A class without an example in a source
    (or with zeros alone) has no prototype there: it is never predicted, and its
    examples count in none of that source's figures.

    Parameters
    ----------
    sources, targets
        By name a pair (X, y): features [n_samples, n_features] of any scale, and
        labels. A set may stand in both.
    class_counts
        Training examples per class [n_classes], which make the shot groups.
    classes
        Label of every class; None for 0 … n_classes-1.
    convention
        See `shot_groups`.

    Raises
    ------
    ValueError
        If a label is unknown, a row is not finite, sizes do not match, or a source has
        no prototype at all.
    TypeError
        If a set is not a pair, or features are not real numbers.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022, figures 2, 4 and 5 and table 5.

    Examples
    --------
    >>> train = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 1, 2]
    >>> test = [[0.9, 0.4], [0.1, 0.9]], [1, 2]
    >>> result = prototype_accuracy({"train": train}, {"test": test}, [200, 5, 5])
    >>> result.accuracy[0, 0]  # the first example looks like the frequent class
    array([nan, nan, 0.5, 0.5])
    >>> result.within_accuracy[0, 0, 2]  # but is told from the other rare one
    np.float64(1.0)
    """
    counts = as_numpy(class_counts)
    groups = shot_groups(counts, convention)
    known = np.arange(len(counts)) if classes is None else as_numpy(classes)
    if known.shape != counts.shape or len(np.unique(known)) < len(known):
        raise ValueError(
            f"classes must name each of the {len(counts)} classes in class_counts "
            f"once; got {len(np.unique(known))} labels in shape {list(known.shape)}."
        )
    given, scored = (
        _opened("sources", sources, known),
        _opened("targets", targets, known),
    )
    _check_widths([*given.values(), *scored.values()])
    recalls = np.full((2, len(given), len(scored), len(counts)), np.nan)
    for row, source in enumerate(given.values()):
        if not source.statistics.unit_sums.any():
            raise ValueError(
                "Every source must hold an example that is not all zero; "
                f"{source.name} holds none in {len(source.features)} rows. Leave it "
                "out."
            )
        for column, target in enumerate(scored.values()):
            recalls[:, row, column] = _recalls(source.statistics, target, groups)
    masks = dict(groups.items()) | {"all": np.ones(len(counts), dtype=bool)}
    counted = np.isfinite(recalls[0])
    numbers = np.stack([counted[..., mask].sum(-1) for mask in masks.values()], -1)
    sums = np.stack(
        [np.nansum(recalls[..., mask], axis=-1) for mask in masks.values()], -1
    )
    means = sums / np.where(numbers > 0, numbers, np.nan)
    means[1, ..., -1] = means[0, ..., -1]
    return PrototypeAccuracy(
        sources=tuple(given),
        targets=tuple(scored),
        groups=tuple(masks),
        accuracy=means[0],
        within_accuracy=means[1],
        n_classes=numbers,
        recall=recalls[0],
    )


def _recalls(
    source: ClassStatistics, target: _Labelled, groups: ShotGroups
) -> npt.NDArray[np.float64]:
    """Return recalls [2, n_classes]: all prototypes compete, those of the group alone.

    NaN for a class without prototype or example.
    """
    features = target.features
    dtype = torch.promote_types(features.dtype, torch.float32)
    dtype = dtype if features.is_floating_point() else torch.float64
    has = torch.linalg.vector_norm(source.unit_sums, dim=1) > 0
    prototypes = unit(source.unit_sums[has]).to(features.device, dtype)
    has = has.cpu()
    column = has.cumsum(0) - 1  # where the prototype of a class stands
    group = torch.from_numpy(np.where(groups.many, 2, np.where(groups.few, 0, 1)))
    rivals = group[has]
    hits = torch.zeros(2, len(features), dtype=torch.bool)
    for rows in row_blocks(len(features), max(prototypes.shape)):
        own = target.positions[rows]
        cosines = unit(features[rows].to(dtype)) @ prototypes.T
        others = (group[own][:, None] != rivals).to(cosines.device)
        within = cosines.masked_fill(others, -torch.inf)
        for hit, scores in zip(hits, (cosines, within), strict=True):
            hit[rows] = scores.argmax(dim=1).cpu() == column[own]
    positions, n_classes = target.positions.numpy(), len(has)
    sums = [np.bincount(positions, hit, minlength=n_classes) for hit in hits.numpy()]
    sizes = np.bincount(positions, minlength=n_classes)
    return np.stack(sums) / np.where((sizes > 0) & has.numpy(), sizes, np.nan)


def _opened(
    role: str, sets: Mapping[str, tuple[Any, Any]], known: npt.NDArray[Any]
) -> dict[str, _Labelled]:
    if not isinstance(sets, Mapping):
        raise TypeError(
            f"{role} must be a mapping from names to pairs (X, y); got "
            f"{type(sets).__name__}."
        )
    if not sets:
        raise ValueError(f"{role} must hold at least one set; got none.")
    wrong = [name for name, pair in sets.items() if not _is_pair(pair)]
    if wrong:
        raise TypeError(
            f"Every entry of {role} must be a pair (X, y); those of {shown(wrong)} are "
            "not."
        )
    return {
        name: _labelled(f"{role}[{name!r}]", *pair, known)
        for name, pair in sets.items()
    }


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2


def _labelled(name: str, X: Any, y: Any, known: npt.NDArray[Any]) -> _Labelled:
    features, labels = as_tensor(X), as_numpy(y)
    if features.ndim != 2 or not features.shape[1] or labels.shape != (len(features),):
        raise ValueError(
            f"{name} must hold features [n_samples, n_features] and a label for every "
            f"row; got shapes {list(features.shape)} and {list(labels.shape)}."
        )
    positions = positions_of(labels, known)
    if (positions < 0).any():
        raise ValueError(
            f"{name} must hold labels of the {len(known)} known classes alone; it also "
            f"holds {shown(np.unique(labels[positions < 0]))}. Remove their rows, or "
            "pass classes."
        )
    statistics = ClassStatistics(len(known), features.shape[1], device=features.device)
    try:
        statistics.update(features, torch.from_numpy(positions))
    except (TypeError, ValueError) as error:  # not real, or not finite
        raise type(error)(f"{name}: {error}") from error
    return _Labelled(name, features, torch.from_numpy(positions), statistics)


def _check_widths(sets: list[_Labelled]) -> None:
    first = sets[0]
    for other in sets[1:]:
        if other.features.shape[1] != first.features.shape[1]:
            raise ValueError(
                "All sets must have the same n_features; got "
                f"{first.features.shape[1]} in {first.name} and "
                f"{other.features.shape[1]} in {other.name}. Extract them with one "
                "backbone."
            )
