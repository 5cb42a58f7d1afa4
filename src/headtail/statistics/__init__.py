"""Sufficient statistics per class, and the groups by training count."""

from headtail.statistics.class_statistics import ClassStatistics, class_prototypes
from headtail.statistics.files import (
    StoredStatistics,
    holds_statistics,
    load_statistics,
    save_statistics,
)
from headtail.statistics.shot_groups import (
    Convention,
    ShotGroups,
    shot_group_rules,
    shot_groups,
)
from headtail.statistics.whitening import oas_shrinkage, shrink, whitening_map
from headtail.statistics.within_class_scatter import WithinClassScatter

__all__ = [
    "ClassStatistics",
    "Convention",
    "ShotGroups",
    "StoredStatistics",
    "WithinClassScatter",
    "class_prototypes",
    "holds_statistics",
    "load_statistics",
    "oas_shrinkage",
    "save_statistics",
    "shot_group_rules",
    "shot_groups",
    "shrink",
    "whitening_map",
]
