"""Rows that two sets of features share."""

from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.tensors import row_blocks

__all__ = ["shared_rows"]


def shared_rows(train: npt.NDArray[Any], test: npt.NDArray[Any]) -> int:
    """Count rows of `test` that are, number by number, rows of `train`.

    Works in blocks on 64-bit hashes of the rows: what is alike is found for sure, and
    what differs is taken for alike with a chance of about 10^-19 per pair. Rows of
    zeros do not count: they carry nothing that could leak.

    Examples
    --------
    >>> shared_rows(np.eye(3), np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.0]]))
    1
    """
    if train.shape[1] != test.shape[1]:
        raise ValueError(
            "train and test must have the same number of features; got "
            f"{train.shape[1]} and {test.shape[1]}."
        )
    kind = np.result_type(train.dtype, test.dtype)
    if kind.itemsize > 8:  # a long double has bits that mean nothing
        kind = np.dtype(np.float64)
    hashes = [_hashes(rows, kind) for rows in (train, test)]
    zero = _hashes(np.zeros((1, test.shape[1]), kind), kind)
    return int((np.isin(hashes[1], hashes[0]) & (hashes[1] != zero)).sum())


def _hashes(rows: npt.NDArray[Any], kind: np.dtype[Any]) -> npt.NDArray[np.uint64]:
    """Return a random linear form of each row's bits, modulo 2^64."""
    generator = np.random.default_rng(0)
    width = rows.shape[1] * max(1, kind.itemsize // 8)
    factors = generator.integers(2**64, size=width, dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(rows), np.uint64)
    for block in row_blocks(*rows.shape):
        # Adding 0 turns -0 into 0, which equals it.
        numbers = np.ascontiguousarray(rows[block].astype(kind) + kind.type(0))
        bits = numbers.view(f"u{min(kind.itemsize, 8)}")
        mixed = bits.astype(np.uint64)
        # Short numbers as float64 differ in their high bits alone, where a product
        # modulo 2^64 would lose them.
        mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        hashes[block] = mixed @ factors
    return hashes
