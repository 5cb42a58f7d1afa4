"""The demonstration: long-tailed digits, a small network's features, every method."""

import numpy as np
import numpy.typing as npt
from sklearn.neural_network import MLPClassifier

from headtail.datasets import long_tailed_digits
from headtail.evaluation import Comparison
from headtail.features import FeatureSet
from headtail.registry import METHODS
from headtail.workflow import compare

__all__ = ["demo", "demo_features"]

_REFERENCE = "cosine"


def demo_features(seed: int = 0) -> tuple[FeatureSet, FeatureSet]:
    """Return training and test features of a network trained on long-tailed digits.

    The network has one hidden layer of 64 units, which are the features: like the
    backbones of real use, it has learned from the long tail itself.
    """
    digits = long_tailed_digits(seed)
    network = MLPClassifier((64,), max_iter=1000, random_state=seed)
    network.fit(digits.train_pixels / 16, digits.train_labels)

    def hidden(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        inputs = pixels / 16 @ network.coefs_[0] + network.intercepts_[0]
        return np.asarray(np.maximum(inputs, 0))

    return (
        FeatureSet(
            hidden(digits.train_pixels), digits.train_labels, digits.class_names
        ),
        FeatureSet(hidden(digits.test_pixels), digits.test_labels, digits.class_names),
    )


def demo(seed: int = 0) -> Comparison:
    """Compare every method of the registry on the features of `demo_features`."""
    train, test = demo_features(seed)
    names = [method.name for method in METHODS]
    return compare(names, train, test, reference=_REFERENCE, random_state=seed)
