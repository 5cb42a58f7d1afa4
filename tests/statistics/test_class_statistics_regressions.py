"""What once went wrong in `ClassStatistics`."""

import numpy as np
import pytest

from headtail import ClassStatistics


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int8])
def test_small_and_unsigned_labels_count_as_what_they_are(dtype):
    labels = np.array([0, 100], dtype=dtype)
    statistics = ClassStatistics(300, 1).update(np.ones((2, 1)), labels)
    assert statistics.class_counts.nonzero().flatten().tolist() == [0, 100]


def test_merge_into_empty_statistics_shares_no_memory():
    other = ClassStatistics(2, 2).update([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    mine = ClassStatistics(2, 2).merge(other)
    mine.update([[1.0, 1.0]], [0])
    assert mine.class_counts.tolist() == [2, 1]
    assert other.class_counts.tolist() == [1, 1]


def test_forget_tells_zero_rows_from_others():
    statistics = ClassStatistics(1, 1).update([[0.0], [1.0]], [0, 0])
    with pytest.raises(ValueError, match=r"classes \[0\] would fall below zero"):
        statistics.forget([[1.0], [1.0]], [0, 0])
    statistics.forget([[0.0], [1.0]], [0, 0])
    assert statistics.class_counts.tolist() == statistics.zero_counts.tolist() == [0]
