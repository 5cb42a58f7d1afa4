"""What training minimises: losses on logits, and two on features."""

from headtail.losses.class_balanced import ClassBalancedLoss, effective_number_weights
from headtail.losses.cross_entropy import CrossEntropyLoss, inverse_frequency_weights
from headtail.losses.deferred import DeferredReweightingLoss
from headtail.losses.focal import FocalLoss, focal_values
from headtail.losses.lade import LADELoss
from headtail.losses.ldam import LDAMLoss
from headtail.losses.lifted_structure import LiftedStructureLoss
from headtail.losses.logit_adjusted import BalancedSoftmaxLoss, LogitAdjustedLoss
from headtail.losses.loss import Loss, negative_log_likelihood, weighted_mean
from headtail.losses.named import LOSSES, build_loss
from headtail.losses.range import RangeLoss

__all__ = [
    "LOSSES",
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "DeferredReweightingLoss",
    "FocalLoss",
    "LADELoss",
    "LDAMLoss",
    "LiftedStructureLoss",
    "LogitAdjustedLoss",
    "Loss",
    "RangeLoss",
    "build_loss",
    "effective_number_weights",
    "focal_values",
    "inverse_frequency_weights",
    "negative_log_likelihood",
    "weighted_mean",
]
