"""Long-tailed data, and fitted count-aware classifiers that tests share."""

import copy

import numpy as np
import pytest

from headtail.methods.transfer import _mixture_search, count_aware_transfer
from headtail.methods.transfer._mixture_search import UNKNOWN
from tests.methods.transfer.count_aware import LABELS, classifier, drawn


@pytest.fixture(scope="session")
def long_tail():
    """Ten classes of 60 to 2 examples, 8 features; two of them are cut in a tail."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), [60, 55, 52, 50, 48, 48, 21, 9, 3, 2])
    centers = 1.5 * rng.normal(size=(10, 8))
    X = centers[y] + rng.normal(size=(len(y), 8))
    X.setflags(write=False)
    y.setflags(write=False)
    return X, y


@pytest.fixture(scope="session")
def five_classes():
    """Five classes of 60, 30, 22, 8 and 2 examples: too few for a simulated tail."""
    y = np.repeat(LABELS, [60, 30, 22, 8, 2])
    X = drawn(y, 0)
    X.setflags(write=False)
    return X, y


@pytest.fixture(scope="session")
def held_out():
    """Ten new examples of every one of the five classes, in order."""
    return drawn(np.repeat(LABELS, 10), 1)


@pytest.fixture(scope="session")
def fitted_once(five_classes):
    """A fitted classifier, not to be changed."""
    return classifier().fit(*five_classes)


@pytest.fixture
def mixed(fitted_once):
    """Return a copy of the fitted classifier with other coefficients."""

    def make(**coefficients):
        clf = copy.deepcopy(fitted_once)
        clf.mixture_ = UNKNOWN._replace(**coefficients)._asdict()
        clf._compose_head()
        return clf

    return make


@pytest.fixture
def choose_always(monkeypatch):
    """Let the search choose these coefficients, without a draw."""

    def replace(**coefficients):
        mixture = UNKNOWN._replace(**coefficients)
        monkeypatch.setattr(
            count_aware_transfer, "choose_mixture", lambda *_, **__: (mixture, None)
        )

    return replace


def shorten(patch):
    for name in ("_MOST_TAILS", "_LEAST_CUT", "_ROUNDS"):
        patch.setattr(_mixture_search, name, 1)


@pytest.fixture
def one_tail(monkeypatch):
    """A search on one tail instead of six, in one round."""
    shorten(monkeypatch)


@pytest.fixture(scope="session")
def searched(long_tail):
    """A classifier whose mixture was chosen on a simulated tail."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return classifier().fit(*long_tail)
