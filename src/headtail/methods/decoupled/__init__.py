"""Classifiers on a fixed representation, apart from how it was learned."""

from headtail.methods.decoupled.ncm import (
    NearestClassMeanClassifier,
    nearest_mean_logits,
)

__all__ = ["NearestClassMeanClassifier", "nearest_mean_logits"]
