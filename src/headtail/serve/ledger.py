"""What a head is made of now: its base, and the changes that remain, in order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headtail.matching import class_names_of
from headtail.methods._growth import recomposed
from headtail.serve.records import Change, ClassSum
from headtail.statistics import ClassStatistics

__all__ = ["Ledger"]


@dataclass(frozen=True, eq=False)
class Ledger:
    """A base classifier and what was added to it and taken away.

    Sums of a class are always base first, then what remains of its changes in order.
    So a ledger that is read from a journal gives the head of the one that wrote it,
    bit for bit; nothing is ever subtracted.

    Parameters
    ----------
    base
        Fitted, of a method with `partial_fit`.
    dropped
        Positions of the base's classes that were taken away.
    grown
        Sums of those that were added to.
    added
        Label and sums of further classes, in the order in which they came.

    Examples
    --------
    >>> from headtail import NearestClassMeanClassifier
    >>> base = NearestClassMeanClassifier().fit([[3.0, 0.0], [0.0, 2.0]], ["a", "b"])
    >>> part = ClassSum.of(torch.tensor([[-1.0, 0.0]]))
    >>> ledger = Ledger(base).after([Change(1, "class", "c", "c", part)])
    >>> ledger.names, ledger.classifier().predict([[-2.0, 0.1]])
    (('a', 'b', 'c'), array(['c'], dtype='<U1'))
    """

    base: Any
    dropped: frozenset[int] = frozenset()
    grown: Mapping[str, ClassSum] = field(default_factory=dict)
    added: Mapping[str, tuple[Any, ClassSum]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes now: those of the base, then those that were added."""
        known = enumerate(class_names_of(self.base))
        kept = [name for position, name in known if position not in self.dropped]
        return (*kept, *self.added)

    def after(self, changes: Iterable[Change]) -> "Ledger":
        """Return the ledger after further changes.

        Raises
        ------
        ValueError
            If a change does not fit what was there before it.
        """
        dropped = set(self.dropped)
        grown, added = dict(self.grown), dict(self.added)
        known = {name: i for i, name in enumerate(class_names_of(self.base))}
        for change in changes:
            name, part = change.name, change.part
            position = known.get(name, -1)
            of_base = position >= 0 and position not in dropped
            if change.kind == "class" and not of_base and name not in added:
                nothing = ClassSum.empty(self.base.n_features_in_)
                added[name] = (change.label, nothing if part is None else part)
            elif change.kind == "dropped" and of_base:
                dropped.add(position)
                grown.pop(name, None)
            elif change.kind == "examples" and part is not None and name in added:
                label, before = added[name]
                added[name] = (label, before.plus(part))
            elif change.kind == "examples" and part is not None and of_base:
                before = grown.get(name) or ClassSum.at(self.base.statistics_, position)
                grown[name] = before.plus(part)
            else:
                raise ValueError(
                    f"change {change.sequence} ({change.kind} {name!r}) must fit the "
                    "classes before it"
                )
        return replace(self, dropped=frozenset(dropped), grown=grown, added=added)

    def without(self, name: str) -> "Ledger":
        """Return the ledger without a class that was added."""
        added = {key: value for key, value in self.added.items() if key != name}
        return replace(self, added=added)

    def refolded(self, name: str, changes: Iterable[Change]) -> "Ledger":
        """Return the ledger with the sums of one class from all that remain of it."""
        alone = replace(
            self,
            grown={key: value for key, value in self.grown.items() if key != name},
            added={key: value for key, value in self.added.items() if key != name},
        ).after(changes)
        if name not in self.added:
            return alone
        # In the place where it was.
        added = {key: alone.added[key] for key in self.added}
        return replace(alone, added=added)

    def count(self, name: str) -> int:
        """Return the number of examples of a class."""
        if name in self.added:
            return self.added[name][1].n_examples
        if name in self.grown:
            return self.grown[name].n_examples
        position = class_names_of(self.base).index(name)
        return int(self.base.class_counts_[position])

    def classifier(self) -> Any:
        """Compose the classifier; the base itself where nothing has changed."""
        if not (self.dropped or self.grown or self.added):
            return self.base
        n_base = len(self.base.classes_)
        kept = np.array([i for i in range(n_base) if i not in self.dropped], np.int64)
        origins = np.concatenate([kept, np.full(len(self.added), -1)])
        classes = self.base.classes_[kept]
        if self.added:
            labels = [label for label, _ in self.added.values()]
            new = np.array(labels, dtype=None if classes.dtype.kind == "U" else object)
            if classes.dtype.kind not in "UO":
                new = new.astype(classes.dtype)
            classes = np.concatenate([classes, new])
        # Numbers have no room for the name of a new class; labels that are text do.
        named = self.added and classes.dtype.kind not in "UO"
        names = self.names if named or hasattr(self.base, "class_names_") else None
        return recomposed(self.base, self._statistics(kept), classes, origins, names)

    def _statistics(self, kept: npt.NDArray[np.int64]) -> ClassStatistics:
        statistics = self.base.statistics_
        rows = torch.from_numpy(kept)
        parts = [part for _, part in self.added.values()]
        tensors = [
            torch.cat([old[rows], torch.tensor(new, dtype=torch.int64)])
            for old, new in (
                (statistics.class_counts, [part.n_examples for part in parts]),
                (statistics.zero_counts, [part.n_zeros for part in parts]),
            )
        ]
        tensors += [
            torch.cat([old[rows], torch.stack(new) if new else old[:0]])
            for old, new in (
                (statistics.sums, [part.sums for part in parts]),
                (statistics.unit_sums, [part.unit_sums for part in parts]),
            )
        ]
        place = {name: i for i, name in enumerate(self.names)}
        for name, part in self.grown.items():
            for tensor, value in zip(tensors, part, strict=True):
                tensor[place[name]] = torch.as_tensor(value)
        return ClassStatistics.from_tensors(*tensors)
