"""Base classifiers: heads trained on features, for the other methods to build on."""

from headtail.methods.base.cosine import CosineClassifier
from headtail.methods.base.linear import LinearClassifier

__all__ = ["CosineClassifier", "LinearClassifier"]
