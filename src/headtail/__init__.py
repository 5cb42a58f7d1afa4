"""Make the tail of a classifier as strong as its head."""

from headtail.evaluation import Comparison, Evaluation, evaluate
from headtail.features import FeatureSet
from headtail.heads import CosineHead, EnsembleHead, LinearHead, load_head
from headtail.methods.base import CosineClassifier, LinearClassifier
from headtail.methods.decoupled import NearestClassMeanClassifier
from headtail.methods.transfer import (
    CompositionalClassifier,
    attend,
    compose,
    transfer,
)
from headtail.registry import load_classifier
from headtail.statistics import (
    ClassStatistics,
    ShotGroups,
    class_prototypes,
    shot_groups,
)
from headtail.version import __version__
from headtail.workflow import compare

__all__ = [
    "ClassStatistics",
    "Comparison",
    "CompositionalClassifier",
    "CosineClassifier",
    "CosineHead",
    "EnsembleHead",
    "Evaluation",
    "FeatureSet",
    "LinearClassifier",
    "LinearHead",
    "NearestClassMeanClassifier",
    "ShotGroups",
    "__version__",
    "attend",
    "class_prototypes",
    "compare",
    "compose",
    "evaluate",
    "load_classifier",
    "load_head",
    "shot_groups",
    "transfer",
]
