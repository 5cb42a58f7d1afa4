"""Choosing parameters without test data: tails that are simulated from head classes."""

from headtail.methods._simulated_tails import SimulatedTail, cut_head_classes
from headtail.selection.search import SimulatedTailSearch

__all__ = ["SimulatedTail", "SimulatedTailSearch", "cut_head_classes"]
