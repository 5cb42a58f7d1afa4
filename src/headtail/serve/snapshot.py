"""One state of a served head, which never changes: what readers see."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

from headtail.analysis import Donations, donations
from headtail.matching import class_names_of
from headtail.serve.errors import RefusedError

__all__ = ["Snapshot"]

# Donors that are shown of a class.
_DONORS = 5


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A fitted classifier and the number of the state that it is of.

    Parameters
    ----------
    version
        Sequence number of the last change in it; 0 is the head's file.
    classifier
        Fitted.
    n_base
        How many of the classes, the first ones, come from the head's file.

    Examples
    --------
    >>> import torch
    >>> from headtail import NearestClassMeanClassifier
    >>> ncm = NearestClassMeanClassifier().fit([[3.0, 0.0], [0.0, 2.0]], ["a", "b"])
    >>> Snapshot(0, ncm, 2).predict(torch.tensor([[1.0, 1.0]]), top_k=1)
    [{'classes': ['a'], 'probabilities': [0.5]}]
    """

    version: int
    classifier: Any
    n_base: int
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `classifier.classes_`."""
        if "names" not in self._cache:
            self._cache["names"] = class_names_of(self.classifier)
        names: tuple[str, ...] = self._cache["names"]
        return names

    @property
    def n_examples(self) -> int:
        """Examples of all classes."""
        return int(self.classifier.class_counts_.sum())

    def predict(
        self, features: Tensor, *, top_k: int = 5, explain: bool = False
    ) -> list[dict[str, Any]]:
        """Return for every row the most probable classes, best first.

        Parameters
        ----------
        features
            [n_samples, n_features].
        top_k
            Classes per row; all if there are fewer.
        explain
            Give the donors of the best class, the strongest first, with their shares;
            None where the method composes nothing.
        """
        proba = self.classifier.predict_proba(features)
        bad = ~np.isfinite(proba).all(axis=1)
        if bad.any():
            raise RefusedError(
                422,
                "features must give finite scores; those of row "
                f"{int(bad.argmax())} are not. Its numbers are too large for the head.",
            )
        # Stable, as in files of predictions: equal ones in the order of the classes.
        best = np.argsort(-proba, axis=1, kind="stable")[:, :top_k]
        chosen = np.take_along_axis(proba, best, axis=1).tolist()
        rows: list[dict[str, Any]] = [
            {
                "classes": [self.names[i] for i in positions],
                "probabilities": probabilities,
            }
            for positions, probabilities in zip(best.tolist(), chosen, strict=True)
        ]
        if explain:
            for row, positions in zip(rows, best.tolist(), strict=True):
                row["donors"] = self.donors(positions[0])
        return rows

    def donors(self, position: int) -> list[dict[str, Any]] | None:
        """Return the strongest donors of a class; None if the method has none."""
        found = self._donations()
        if found is None:
            return None
        row = np.flatnonzero(found.receivers == position)
        if not len(row):
            return []
        donors, shares = found.donors[row[0]].tolist(), found.shares[row[0]].tolist()
        return [
            {"class": self.names[i], "share": share}
            for i, share in zip(donors, shares, strict=True)
        ]

    def classes(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """Return some of the classes, with their examples and where they come from."""
        rows = range(offset, min(offset + limit, len(self.names)))
        counts = self.classifier.class_counts_
        return [
            {
                "name": self.names[i],
                "n_examples": int(counts[i]),
                "added": i >= self.n_base,
            }
            for i in rows
        ]

    def file(self) -> bytes:
        """Return the classifier as a safetensors file that `load_classifier` reads."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "head.safetensors"
            self.classifier.save_classifier(path)
            return path.read_bytes()

    def _donations(self) -> Donations | None:
        # Once per state, and only for those who ask: it looks at all pairs of classes.
        with self._lock:
            if "donations" not in self._cache:
                self._cache["donations"] = donations(self.classifier, n=_DONORS)
            found: Donations | None = self._cache["donations"]
        return found
