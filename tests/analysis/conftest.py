import copy

import pytest

from headtail import CountAwareTransferClassifier
from tests.analysis.composers import X, Y


@pytest.fixture(scope="session")
def fitted_once():
    return CountAwareTransferClassifier(random_state=0).fit(X, Y)


@pytest.fixture
def count_aware(fitted_once):
    """Return a copy of the fitted classifier with other coefficients."""

    def make(**coefficients):
        clf = copy.deepcopy(fitted_once)
        clf.mixture_ = {**clf.mixture_, **coefficients}
        clf._compose_head()
        return clf

    return make
