"""Features of a fixed representation, in memory and in files."""

from headtail.features.feature_set import FeatureSet

__all__ = ["FeatureSet"]
