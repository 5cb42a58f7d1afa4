"""Methods by which a tail class borrows from head classes."""

from headtail.methods.transfer._coefficients import bounded_coefficients
from headtail.methods.transfer._composition import attend, compose, transfer
from headtail.methods.transfer.alphanet import AlphaNetClassifier
from headtail.methods.transfer.compositional import (
    CompositionalClassifier,
    TopDonors,
)
from headtail.methods.transfer.count_aware_transfer import (
    CountAwareTransferClassifier,
)
from headtail.methods.transfer.metamodelnet import MetaModelNetClassifier
from headtail.methods.transfer.model_regression import ModelRegressionClassifier

__all__ = [
    "AlphaNetClassifier",
    "CompositionalClassifier",
    "CountAwareTransferClassifier",
    "MetaModelNetClassifier",
    "ModelRegressionClassifier",
    "TopDonors",
    "attend",
    "bounded_coefficients",
    "compose",
    "transfer",
]
