"""Work on shards that no machine holds together: in one process, or on Ray."""

from headtail.scale.engines import ENGINES
from headtail.scale.extraction import extract_images
from headtail.scale.statistics import gather_statistics

__all__ = ["ENGINES", "extract_images", "gather_statistics"]
