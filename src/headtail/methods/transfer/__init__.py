"""Methods by which a tail class borrows from head classes."""

from headtail.methods.transfer._composition import attend, compose, transfer
from headtail.methods.transfer.compositional import (
    CompositionalClassifier,
    TopDonors,
)

__all__ = ["CompositionalClassifier", "TopDonors", "attend", "compose", "transfer"]
