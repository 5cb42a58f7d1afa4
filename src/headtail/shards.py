"""Rows of many arrays as one array, read when they are asked for."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_OPEN", "ShardedArray"]

# Shards that are open together: each may be an open file, of which a process often
# has 1,024.
MOST_OPEN = 256

# Rows that are shuffled together when a head is trained; shards at least, and at most.
_WINDOW_ROWS = 2**16
_WINDOW_SHARDS = (4, MOST_OPEN)

# Gives what has a shape, and arrays by a slice or by indices.
Opener = Callable[[], Any]


class ShardedArray:
    """An array [n_rows, n_columns] whose rows lie in shards, one after another.

    A shard is opened when a row of it is asked for, and stays open until a few others
    were. Slices and arrays of indices give rows in memory, a mask gives an array whose
    rows are still in their shards. `numpy.asarray` reads all of them.

    Parameters
    ----------
    openers
        One per shard: returns its rows, an array of which nothing is copied.
    lengths
        Rows of every shard.
    n_columns, dtype
        What all shards have, and the type in which rows are given.

    Examples
    --------
    >>> parts = [np.eye(2), np.full((1, 2), 7.0)]
    >>> array = ShardedArray([lambda: parts[0], lambda: parts[1]], [2, 1], 2, "f8")
    >>> array.shape, array[[2, 0]], array[np.array([True, False, True])].shape
    ((3, 2), array([[7., 7.],
           [1., 0.]]), (2, 2))
    """

    ndim = 2

    def __init__(
        self,
        openers: Sequence[Opener],
        lengths: Sequence[int],
        n_columns: int,
        dtype: npt.DTypeLike,
    ) -> None:
        self._openers = list(openers)
        # The first row of every shard, and the end.
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.shape = (int(self._starts[-1]), n_columns)
        self.dtype = np.dtype(dtype)
        mean_rows = max(1, self.shape[0] // max(1, len(self._openers)))
        fewest, most = _WINDOW_SHARDS
        self.shards_per_window = min(most, max(fewest, -(-_WINDOW_ROWS // mean_rows)))
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """Leave open shards out: another process opens its own."""
        return {key: v for key, v in vars(self).items() if key != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with all shards closed."""
        vars(self).update(state)
        self._forget()

    def __repr__(self) -> str:
        return (
            f"ShardedArray(shape={self.shape}, dtype={self.dtype}, "
            f"n_shards={len(self._openers)})"
        )

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("Rows in shards must be copied to be one array.")
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, rows: Any) -> Any:
        """Return rows by a slice, an index, indices, or a mask.

        Slices and an integer for columns may follow, as in ``array[rows, :2]``.
        """
        if isinstance(rows, tuple):
            return self._of_columns(*rows)
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._slice(start, max(start, stop))
            rows = np.arange(start, stop, step)
        rows = np.asarray(rows)
        rows = rows if rows.size else rows.astype(np.int64)
        if rows.dtype == np.bool_ and rows.shape == self.shape[:1]:
            return self._masked(rows)
        if rows.dtype.kind not in "iu" or rows.ndim > 1:
            raise TypeError(
                "Rows in shards are chosen by a slice, integers, or a mask of "
                f"{len(self)}; got {rows.dtype} of shape {list(rows.shape)}."
            )
        rows = rows.astype(np.int64)
        if ((rows < -len(self)) | (rows >= len(self))).any():
            raise IndexError(f"Rows must lie in 0 … {len(self) - 1}.")
        rows = np.where(rows < 0, rows + len(self), rows)
        return self._rows(rows) if rows.ndim else self._rows(rows[None])[0]

    def _of_columns(self, rows: Any, *columns: Any) -> Any:
        if not all(isinstance(c, slice | int) or c is ... for c in columns):
            raise TypeError(
                "Columns of rows in shards are chosen by slices or an integer; got "
                f"{columns}."
            )
        part = self[rows]
        if all(c is ... or c == slice(None) for c in columns) and len(columns) < 2:
            return part
        part = np.asarray(part)
        return part[columns] if part.ndim == 1 else part[:, *columns]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows in memory."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def first_rows(self) -> npt.NDArray[np.int64]:
        """The first row of every shard."""
        return self._starts[:-1]

    def windows(self, most_rows: int) -> Iterator[slice]:
        """Cut the rows into slices that lie in one shard each."""
        for start, stop in zip(self._starts[:-1], self._starts[1:], strict=True):
            for first in range(int(start), int(stop), most_rows):
                yield slice(first, min(first + most_rows, int(stop)))

    def _forget(self) -> None:
        self._open = lru_cache(self.shards_per_window + 1)(self._open_shard)

    def _open_shard(self, shard: int) -> Any:
        rows = self._openers[shard]()
        wanted = (int(np.diff(self._starts)[shard]), self.shape[1])
        if rows.shape != wanted:
            raise ValueError(
                f"Shard {shard} must still have shape {list(wanted)}; it has "
                f"{list(rows.shape)} now. Load the features again."
            )
        return rows

    def _slice(self, start: int, stop: int) -> npt.NDArray[Any]:
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        if start < stop and first == last:
            begin = int(self._starts[first])
            rows = self._open(int(first))[start - begin : stop - begin]
            part: npt.NDArray[Any] = rows.astype(self.dtype, copy=False)
            return part
        result = np.empty((stop - start, self.shape[1]), dtype=self.dtype)
        for shard in range(int(first), int(last) + 1):
            begin, end = np.clip(self._starts[shard : shard + 2], start, stop)
            if begin < end:
                rows = self._open(shard)[begin - self._starts[shard] :][: end - begin]
                result[begin - start : end - start] = rows
        return result

    def _rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        result = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        order = shards.argsort(kind="stable")
        present, begin = np.unique(shards[order], return_index=True)
        for shard, places in zip(present, np.split(order, begin)[1:], strict=True):
            result[places] = self._open(int(shard))[rows[places] - self._starts[shard]]
        return result

    def _masked(self, mask: npt.NDArray[np.bool_]) -> "ShardedArray":
        kept = [part.nonzero()[0] for part in np.split(mask, self._starts[1:-1])]
        openers = [
            partial(_SomeRows, opener, rows)
            for opener, rows in zip(self._openers, kept, strict=True)
        ]
        return ShardedArray(openers, list(map(len, kept)), self.shape[1], self.dtype)


class _SomeRows:
    """Some rows of a shard: no more of them are in memory than are asked for."""

    def __init__(self, opener: Opener, kept: npt.NDArray[np.int64]) -> None:
        self._rows, self._kept = opener(), kept
        self.shape = (len(kept), *self._rows.shape[1:])

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        some: npt.NDArray[Any] = self._rows[self._kept[rows]]
        return some
