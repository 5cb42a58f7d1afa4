"""Make the tail of a classifier as strong as its head."""

from headtail.evaluation import Comparison, Evaluation, evaluate
from headtail.features import FeatureSet
from headtail.heads import (
    AffineHead,
    CausalNormHead,
    CosineHead,
    DisAlignHead,
    EnsembleHead,
    LinearHead,
    WhitenedHead,
    align_logits,
    causal_norm_logits,
    load_head,
)
from headtail.methods.base import CosineClassifier, LinearClassifier
from headtail.methods.decoupled import (
    CausalNormClassifier,
    DisAlignClassifier,
    LogitAdjustedClassifier,
    NearestClassMeanClassifier,
    RetrainedClassifier,
    TauNormalizedClassifier,
    WeightScaledClassifier,
    adjust_logits,
    tau_normalize,
)
from headtail.methods.transfer import (
    AlphaNetClassifier,
    CompositionalClassifier,
    CountAwareTransferClassifier,
    MetaModelNetClassifier,
    ModelRegressionClassifier,
    attend,
    compose,
    transfer,
)
from headtail.registry import load_classifier
from headtail.selection import SimulatedTailSearch
from headtail.statistics import (
    ClassStatistics,
    ShotGroups,
    WithinClassScatter,
    class_prototypes,
    shot_groups,
)
from headtail.transforms import WithinClassWhitening
from headtail.version import __version__
from headtail.workflow import compare

__all__ = [
    "AffineHead",
    "AlphaNetClassifier",
    "CausalNormClassifier",
    "CausalNormHead",
    "ClassStatistics",
    "Comparison",
    "CompositionalClassifier",
    "CosineClassifier",
    "CosineHead",
    "CountAwareTransferClassifier",
    "DisAlignClassifier",
    "DisAlignHead",
    "EnsembleHead",
    "Evaluation",
    "FeatureSet",
    "LinearClassifier",
    "LinearHead",
    "LogitAdjustedClassifier",
    "MetaModelNetClassifier",
    "ModelRegressionClassifier",
    "NearestClassMeanClassifier",
    "RetrainedClassifier",
    "ShotGroups",
    "SimulatedTailSearch",
    "TauNormalizedClassifier",
    "WeightScaledClassifier",
    "WhitenedHead",
    "WithinClassScatter",
    "WithinClassWhitening",
    "__version__",
    "adjust_logits",
    "align_logits",
    "attend",
    "causal_norm_logits",
    "class_prototypes",
    "compare",
    "compose",
    "evaluate",
    "load_classifier",
    "load_head",
    "shot_groups",
    "tau_normalize",
    "transfer",
]
