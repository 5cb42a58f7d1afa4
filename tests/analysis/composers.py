"""Six classes in any order, and classifiers that compose on them."""

import numpy as np
import torch

from headtail import CompositionalClassifier, CosineHead

LABELS = np.array(["ant", "cat", "elk", "fox", "owl", "yak"])
COUNTS = [101, 19, 21, 5, 20, 100]
WEIGHT = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def drawn(counts=COUNTS, seed=0):
    """Return features and labels of the six classes."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(np.repeat(np.arange(6), counts))
    centers = np.random.default_rng(1).normal(size=(6, 5))
    return centers[places] + 0.5 * rng.normal(size=(len(places), 5)), LABELS[places]


X, Y = drawn()


def compositional(**parameters):
    return CompositionalClassifier(CosineHead(WEIGHT), **parameters).fit(X, Y)
