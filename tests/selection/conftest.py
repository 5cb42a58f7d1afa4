"""Data with a tail, and the simulated tails that a search has cut."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import recall_score

from headtail.selection import search as search_module

COUNTS = [6, 90, 70, 4, 50, 40, 5, 24]


@pytest.fixture
def data():
    """Eight overlapping classes, three of them a tail; every row is its own."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(8), COUNTS)
    X = 1.2 * rng.normal(size=(8, 8))[y] + rng.normal(size=(len(y), 8))
    return X, y


@pytest.fixture
def tails(monkeypatch):
    """Return the list of simulated tails, which grows as searches cut them."""
    cuts, real = [], search_module.cut_head_classes

    def recorded(*args, **kwargs):
        cuts.append(real(*args, **kwargs))
        return cuts[-1]

    monkeypatch.setattr(search_module, "cut_head_classes", recorded)
    return cuts


@pytest.fixture
def slow_recalls():
    """Return a function: each candidate is fitted by itself; its recall per class."""

    def recalls(estimator, candidates, X, y, tail):
        kept, held = tail.kept.numpy(), tail.held_back.numpy()
        result = np.full((len(candidates), len(tail.cut)), np.nan)
        scored = np.unique(y[held])
        for row, candidate in zip(result, candidates, strict=True):
            alone = clone(estimator).set_params(**candidate).fit(X[kept], y[kept])
            row[scored] = recall_score(
                y[held], alone.predict(X[held]), labels=scored, average=None
            )
        return result

    return recalls
