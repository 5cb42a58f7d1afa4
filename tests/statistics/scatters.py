"""Scatters of small data, and how they are compared."""

import numpy as np
import torch
from hypothesis import strategies as st

from headtail.statistics import WithinClassScatter

SEEDS = st.integers(0, 2**31)


@st.composite
def problems(draw):
    """Features around the mean of their class; some classes are empty or single."""
    n_classes, n_features = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    n_samples = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(SEEDS))
    y = rng.integers(n_classes, size=n_samples)
    X = rng.normal(size=(n_samples, n_features)) @ rng.normal(size=[n_features] * 2)
    X += rng.normal(scale=3, size=(n_classes, n_features))[y] + draw(
        st.sampled_from([0.0, 50.0])
    )
    return X, y, n_classes


def fitted(X, y, n_classes):
    return WithinClassScatter(n_classes, X.shape[1]).update(X, y)


def long_tail(offset=0.0, dtype=np.float64):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], [300, 100, 30, 1])
    X = rng.normal(size=(len(y), 4)) * [1, 2, 3, 4] + rng.normal(size=(4, 4))[y]
    return (X + offset).astype(dtype), y, 4


def assert_same(first, second, rtol=1e-9):
    """Compare what may be asked of a scatter; rounding may differ."""
    assert first.class_counts.tolist() == second.class_counts.tolist()
    assert first.degrees_of_freedom == second.degrees_of_freedom
    torch.testing.assert_close(
        first.means, second.means, rtol=rtol, atol=rtol, equal_nan=True
    )
    atol = rtol * (1 + float(second.covariance.abs().max()))
    torch.testing.assert_close(first.covariance, second.covariance, rtol=0, atol=atol)


def state_of(scatter):
    kept = scatter.copy()
    sums = kept.statistics
    counts = (sums.class_counts, sums.zero_counts)
    return [*counts, sums.sums, sums.unit_sums, kept.within]


def assert_unchanged(scatter, before):
    assert all(map(torch.equal, state_of(scatter), before))
