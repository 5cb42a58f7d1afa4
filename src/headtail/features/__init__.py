"""Features with their labels: in memory, in files, and extracted from images."""

from headtail.features.extraction import (
    Extraction,
    extract,
    extract_to_folder,
    source_of,
)
from headtail.features.feature_set import FeatureSet

__all__ = ["Extraction", "FeatureSet", "extract", "extract_to_folder", "source_of"]
