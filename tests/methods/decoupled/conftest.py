import numpy as np
import pytest


@pytest.fixture
def blobs():
    """Four overlapping classes of 80, 30, 10 and 4 examples; a balanced test set."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(4, 6))
    y, y_test = np.repeat([0, 1, 2, 3], [80, 30, 10, 4]), np.repeat([0, 1, 2, 3], 40)
    X, X_test = (centers[t] + rng.normal(size=(len(t), 6)) for t in (y, y_test))
    return X, y, X_test, y_test
