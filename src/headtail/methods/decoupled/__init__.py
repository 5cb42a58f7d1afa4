"""Classifiers on a fixed representation, apart from how it was learned."""

from headtail.methods.decoupled._formulas import adjust_logits, tau_normalize
from headtail.methods.decoupled.causal_norm import CausalNormClassifier
from headtail.methods.decoupled.crt import RetrainedClassifier
from headtail.methods.decoupled.disalign import DisAlignClassifier
from headtail.methods.decoupled.logit_adjustment import LogitAdjustedClassifier
from headtail.methods.decoupled.lws import WeightScaledClassifier
from headtail.methods.decoupled.ncm import (
    NearestClassMeanClassifier,
    nearest_mean_weights,
)
from headtail.methods.decoupled.tau_norm import TauNormalizedClassifier

__all__ = [
    "CausalNormClassifier",
    "DisAlignClassifier",
    "LogitAdjustedClassifier",
    "NearestClassMeanClassifier",
    "RetrainedClassifier",
    "TauNormalizedClassifier",
    "WeightScaledClassifier",
    "adjust_logits",
    "nearest_mean_weights",
    "tau_normalize",
]
