"""Helpers below every room: arrays as tensors, unit vectors, rows, fingerprints."""

import hashlib
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_map

from headtail.shards import ShardedArray

__all__ = [
    "ShardedRows",
    "as_tensor",
    "fingerprint",
    "row_blocks",
    "row_windows",
    "shown",
    "unit",
]


# What chooses rows, if it has one dimension at most.
_ROW_INDEX = (slice, int, list, np.integer, np.ndarray)
_READ_ONLY = "Rows in shards can be read alone. Copy them first: rows.clone()."
_DATA: Any = Tensor.data.__get__  # type: ignore[attr-defined]


class ShardedRows(Tensor):
    """A `ShardedArray` as a tensor: rows are read when they are indexed.

    Slices and indices give plain tensors, masks give rows that are still in their
    shards. Any other operation reads all rows first, which is right, but not small.

    Examples
    --------
    >>> array = ShardedArray([lambda: np.eye(2)], [2], 2, "f8")
    >>> rows = ShardedRows(array)
    >>> rows.shape, rows[1:]
    (torch.Size([2, 2]), tensor([[0., 1.]], dtype=torch.float64))
    """

    array: ShardedArray

    @staticmethod
    def __new__(cls: "type[ShardedRows]", array: ShardedArray) -> "ShardedRows":
        """Wrap the array; nothing is read."""
        kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
        make: Any = Tensor._make_wrapper_subclass
        rows: ShardedRows = make(cls, array.shape, dtype=kind)
        rows.array = array
        return rows

    def __repr__(self) -> str:  # type: ignore[override]
        return f"ShardedRows({self.array!r})"

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Answer what can be answered without reading everything."""
        if func is Tensor.__getitem__ and isinstance(args[0], cls):
            rows, index = args
            index = index.cpu().numpy() if isinstance(index, Tensor) else index
            one = not isinstance(index, list | np.ndarray) or np.ndim(index) < 2
            if isinstance(index, _ROW_INDEX) and one:
                return as_tensor(rows.array[index])
        if func is Tensor.__setitem__ and isinstance(args[0], cls):
            raise TypeError(_READ_ONLY)
        if func in (Tensor.detach, Tensor.__deepcopy__, _DATA):
            return args[0]  # nobody can write to it
        if func in (Tensor.numpy, Tensor.__array__, Tensor.tolist):
            return func(as_tensor(args[0].array[:]), *args[1:], **(kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Read all rows and go on with them; refuse to write to them."""
        given = dict(enumerate(args)) | dict(kwargs or {})
        for number, argument in enumerate(func._schema.arguments):
            value = given.get(number, given.get(argument.name))
            if argument.is_write and isinstance(value, cls):
                raise TypeError(_READ_ONLY)

        def whole(value: Any) -> Any:
            return as_tensor(value.array[:]) if isinstance(value, cls) else value

        return func(*tree_map(whole, args), **tree_map(whole, kwargs or {}))


def as_tensor(array: Any) -> Tensor:
    """Return `array` as a tensor, sharing its memory wherever that is possible.

    Read-only arrays (memory maps, joblib) are shared too: `torch.from_numpy` warns
    about them, DLPack does not. The library never writes to what it was given. What
    lies in shards stays there.
    """
    if isinstance(array, Tensor):
        return array.detach()
    if isinstance(array, ShardedArray):
        return ShardedRows(array)
    array = np.asarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    if array.flags.writeable:
        return torch.from_numpy(array)
    try:
        return torch.from_dlpack(array)  # type: ignore[attr-defined]
    except BufferError:  # older torch cannot share a read-only buffer
        return torch.from_numpy(array.copy())


def unit(vectors: Float[Tensor, "*batch n_features"]) -> Float[Tensor, "*batch _"]:
    """Scale every vector to length 1; a zero vector stays zero.

    The largest entry is divided out first, so that neither tiny nor huge vectors
    lose their direction to underflow or overflow.

    Examples
    --------
    >>> import torch
    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    peak = vectors.abs().amax(dim=-1, keepdim=True)
    scaled = vectors / torch.where(peak > 0, peak, 1)
    norm = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / torch.where(norm > 0, norm, 1)


def row_blocks(n_rows: int, row_size: int, budget: int = 2**22) -> Iterator[slice]:
    """Cut `n_rows` rows into slices of at most `budget` numbers, at least one row."""
    step = max(1, budget // max(1, row_size))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def row_windows(rows: Tensor, budget: int) -> Iterator[slice]:
    """Cut rows into slices of at most `budget` numbers that are read without a copy."""
    if isinstance(rows, ShardedRows):
        return rows.array.windows(max(1, budget // max(1, rows.shape[1])))
    return row_blocks(len(rows), rows.shape[1], budget)


def shown(items: Any, limit: int = 5) -> str:
    """Write the first few items of a collection for an error message."""
    items = items if isinstance(items, Sized) else list(items)
    # Of millions, only those that are shown are looked at.
    first = islice(iter(items), limit)
    listed = [item.item() if isinstance(item, np.generic) else item for item in first]
    text = ", ".join(repr(item) for item in listed)
    more = len(items) - limit
    return f"[{text}, … {more} more]" if more > 0 else f"[{text}]"


def fingerprint(*arrays: npt.NDArray[Any] | ShardedArray) -> str:
    """Return a short hash of the arrays' types, shapes and contents."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        parts: Iterable[npt.NDArray[Any]] = [array]  # type: ignore[list-item]
        if isinstance(array, ShardedArray):
            parts = (array[rows] for rows in array.windows(2**16))
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
