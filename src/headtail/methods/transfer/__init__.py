"""Methods by which a tail class borrows from head classes."""

from headtail.methods.transfer._coefficients import bounded_coefficients
from headtail.methods.transfer._composition import attend, compose, transfer
from headtail.methods.transfer.alphanet import AlphaNetClassifier
from headtail.methods.transfer.compositional import (
    CompositionalClassifier,
    TopDonors,
)

__all__ = [
    "AlphaNetClassifier",
    "CompositionalClassifier",
    "TopDonors",
    "attend",
    "bounded_coefficients",
    "compose",
    "transfer",
]
