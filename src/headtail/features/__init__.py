"""Features with their labels: in memory, in files, and extracted from images."""

from headtail.features.extraction import (
    Extraction,
    extract,
    extract_to_folder,
    source_of,
)
from headtail.features.feature_set import FeatureSet
from headtail.features.overlap import shared_rows

__all__ = [
    "Extraction",
    "FeatureSet",
    "extract",
    "extract_to_folder",
    "shared_rows",
    "source_of",
]
