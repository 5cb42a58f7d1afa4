"""Sufficient statistics per class, and the groups by training count."""

from headtail.statistics.class_statistics import ClassStatistics, class_prototypes
from headtail.statistics.shot_groups import Convention, ShotGroups, shot_groups

__all__ = [
    "ClassStatistics",
    "Convention",
    "ShotGroups",
    "class_prototypes",
    "shot_groups",
]
