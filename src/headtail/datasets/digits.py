"""scikit-learn's handwritten digits, made long-tailed: real data without a network."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headtail.datasets.profiles import exponential_counts, subsample

__all__ = ["LongTailedDigits", "long_tailed_digits"]

_LARGEST, _SMALLEST = 120, 3
_TEST_PER_CLASS = 50
_NAMES = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
)


class LongTailedDigits(NamedTuple):
    """Pixels [n_samples, 64] and labels of a training and a test set, and names."""

    train_pixels: npt.NDArray[np.float64]
    train_labels: npt.NDArray[np.int64]
    test_pixels: npt.NDArray[np.float64]
    test_labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]


def long_tailed_digits(seed: int = 0) -> LongTailedDigits:
    """Return a long-tailed training set and a balanced test set of 8 by 8 digits.

    Training counts fall exponentially from 120 zeros to 3 nines; the test set holds 50
    of each digit.

    Examples
    --------
    >>> import numpy as np
    >>> np.bincount(long_tailed_digits().train_labels)
    array([120,  79,  52,  35,  23,  15,  10,   6,   4,   3])
    """
    # Whoever reads images does not need it, and it takes long to import.
    from sklearn.datasets import load_digits

    digits = load_digits()
    counts = exponential_counts(10, _LARGEST, _LARGEST / _SMALLEST)
    chosen, rest = subsample(digits.target, counts, seed)
    picked, _ = subsample(digits.target[rest], np.full(10, _TEST_PER_CLASS), seed)
    tested = rest[picked]
    return LongTailedDigits(
        digits.data[chosen],
        digits.target[chosen],
        digits.data[tested],
        digits.target[tested],
        _NAMES,
    )
