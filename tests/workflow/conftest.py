import numpy as np
import pytest

from headtail import FeatureSet

NAMES = ("ant", "bee", "cat", "dog")


def clusters(counts, *, seed, names=NAMES, spread=1.0):
    """Examples around the corners of a cube, one corner per class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = 3 * np.eye(6)[labels] + rng.normal(scale=spread, size=(len(labels), 6))
    return FeatureSet(features, labels, names)


@pytest.fixture
def make_data():
    return clusters


@pytest.fixture
def train():
    return clusters([30, 12, 6, 3], seed=0)


@pytest.fixture
def test_set():
    return clusters([9, 8, 7, 6], seed=1)


@pytest.fixture
def renumbered():
    """Return a feature set with other label numbers for the same names."""

    def renumber(data, order):
        order = np.asarray(order)
        names = [data.class_names[label] for label in order]
        return FeatureSet(data.features, np.argsort(order)[data.labels], names)

    return renumber


@pytest.fixture(autouse=True)
def _short(short_trainings):
    """Every test here."""
