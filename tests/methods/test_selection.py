"""The record of a choice, and the recalls it rests on."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.methods._selection import Selection, mean_recalls


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 30), st.integers(0, 2**31))
def test_recalls_are_those_of_plain_counting(n_classes, n_candidates, n, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(n_classes, (n,), generator=generator)
    predicted = torch.randint(n_classes, (n_candidates, n), generator=generator)
    got = mean_recalls(predicted, labels, n_classes)
    assert got.shape == (n_candidates, n_classes)
    for row, recalls in zip(predicted.tolist(), got.tolist(), strict=True):
        for c, recall in enumerate(recalls):
            mine = [a == b for a, b in zip(row, labels.tolist(), strict=True) if b == c]
            if mine:
                assert recall == pytest.approx(sum(mine) / len(mine))
            else:
                assert math.isnan(recall)


def test_the_best_is_the_candidate_at_its_index():
    record = Selection(
        candidates=({"tau": 0.0}, {"tau": 1.0}),
        scores=np.array([0.2, 0.7]),
        best_index=1,
        data="words",
        n_samples=3,
        missing_classes=np.array([]),
        optimistic=False,
    )
    assert record.best == {"tau": 1.0}
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.best_index = 0
