"""Bootstrap replicates over test examples, stratified by class, in bulk."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["interval", "resampled_weights"]

# Weights of one block of replicates: about 64 MB of float64.
_BLOCK_NUMBERS = 2**23


def resampled_weights(
    positions: npt.NDArray[np.int64], n_replicates: int, seed: int
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield how often each example is drawn, [n_in_block, n_samples], in blocks.

    Every replicate draws from each class as many of its examples as it has, with
    replacement.
    """
    generator = np.random.default_rng(seed)
    n_samples = len(positions)
    order = np.argsort(positions, kind="stable")
    sizes = np.bincount(positions)
    start = (np.cumsum(sizes) - sizes)[positions[order]]
    size = sizes[positions[order]]
    step = max(1, _BLOCK_NUMBERS // n_samples)
    for first in range(0, n_replicates, step):
        n_block = min(step, n_replicates - first)
        slot = start + (generator.random((n_block, n_samples)) * size).astype(np.int64)
        flat = np.arange(n_block)[:, None] * n_samples + order[slot]
        drawn = np.bincount(flat.ravel(), minlength=n_block * n_samples)
        yield drawn.reshape(n_block, n_samples).astype(np.float64)


def interval(
    replicates: npt.NDArray[np.float64], confidence: float = 0.95
) -> npt.NDArray[np.float64]:
    """Return the percentile interval of every column, [n_columns, 2]."""
    tail = 50 * (1 - confidence)
    if not len(replicates):
        return np.full((replicates.shape[1], 2), np.nan)
    return np.percentile(replicates, [tail, 100 - tail], axis=0).T
