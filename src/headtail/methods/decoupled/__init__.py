"""Classifiers on a fixed representation, apart from how it was learned."""

from headtail.methods.decoupled.ncm import (
    NearestClassMeanClassifier,
    nearest_mean_weights,
)

__all__ = ["NearestClassMeanClassifier", "nearest_mean_weights"]
