"""Helpers below every room: arrays as tensors, unit vectors, rows, fingerprints."""

import hashlib
from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["as_tensor", "fingerprint", "row_blocks", "shown", "unit"]


def as_tensor(array: Any) -> Tensor:
    """Return `array` as a tensor, sharing its memory wherever that is possible.

    Read-only arrays (memory maps, joblib) are shared too: `torch.from_numpy` warns
    about them, DLPack does not. The library never writes to what it was given.
    """
    if isinstance(array, Tensor):
        return array.detach()
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


def shown(items: Any, limit: int = 5) -> str:
    """Write the first few items of a collection for an error message."""
    items = items if isinstance(items, Sized) else list(items)
    # Of millions, only those that are shown are looked at.
    first = islice(iter(items), limit)
    listed = [item.item() if isinstance(item, np.generic) else item for item in first]
    text = ", ".join(repr(item) for item in listed)
    more = len(items) - limit
    return f"[{text}, … {more} more]" if more > 0 else f"[{text}]"


def fingerprint(*arrays: npt.NDArray[Any]) -> str:
    """Return a short hash of the arrays' types, shapes and contents."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
