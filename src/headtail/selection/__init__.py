"""Choosing parameters without test data: tails that are simulated from head classes."""

from headtail.selection.search import SimulatedTailSearch
from headtail.selection.simulated_tails import SimulatedTail, cut_head_classes

__all__ = ["SimulatedTail", "SimulatedTailSearch", "cut_head_classes"]
