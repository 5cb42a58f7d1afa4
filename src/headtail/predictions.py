"""Predictions as a file: label, probability and the five best classes."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.files import written_whole
from headtail.tensors import row_blocks

__all__ = ["Predictions"]

_TOP = 5


@dataclass(frozen=True)
class Predictions:
    """The best classes of every sample, best first.

    Attributes
    ----------
    top
        Labels, (n_samples, 5) or as many as there are classes.
    top_probability
        Their probabilities.
    true
        The true labels, or None.
    """

    top: npt.NDArray[Any]
    top_probability: npt.NDArray[Any]
    true: npt.NDArray[Any] | None = None

    @classmethod
    def from_proba(
        cls,
        proba: npt.NDArray[Any],
        classes: npt.NDArray[Any],
        true: npt.NDArray[Any] | None = None,
    ) -> "Predictions":
        """Take the best classes from probabilities [n_samples, n_classes]."""
        # A stable sort: equal probabilities come in the order of classes, as argmax.
        best = np.concatenate(
            [
                np.argsort(-proba[rows], axis=1, kind="stable")[:, :_TOP]
                for rows in row_blocks(*proba.shape)
            ]
        )
        return cls(classes[best], np.take_along_axis(proba, best, axis=1), true)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``.csv`` (a line per sample) or ``.npz`` (arrays); whole or not at all.

        The arrays are label, probability, top5, top5_probability, and true if known.
        """
        path = Path(path)
        writers = {".csv": self._write_csv, ".npz": self._write_npz}
        if path.suffix not in writers:
            raise ValueError(f"{path} must end in .csv or .npz; got {path.suffix!r}.")
        with written_whole(path) as temporary:
            writers[path.suffix](temporary)

    def _write_csv(self, path: Path) -> None:
        ranks = range(1, self.top.shape[1] + 1)
        header = ["label", "probability"]
        header += [f"top{rank}" for rank in ranks]
        header += [f"top{rank}_probability" for rank in ranks]
        columns = [self.top[:, 0], self.top_probability[:, 0]]
        columns += [*self.top.T, *self.top_probability.T]
        if self.true is not None:
            header.append("true")
            columns.append(self.true)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(zip(*(c.tolist() for c in columns), strict=True))

    def _write_npz(self, path: Path) -> None:
        arrays = {
            "label": _plain(self.top[:, 0]),
            "probability": self.top_probability[:, 0],
            "top5": _plain(self.top),
            "top5_probability": self.top_probability,
        }
        if self.true is not None:
            arrays["true"] = _plain(self.true)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def _plain(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return text labels as text: objects would have to be pickled."""
    return labels.astype(str) if labels.dtype.kind == "O" else labels
