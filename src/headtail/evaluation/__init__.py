"""Metrics per class and per shot group, with bootstrap intervals."""

from headtail.evaluation.comparison import (
    Comparison,
    compare_predictions,
)
from headtail.evaluation.evaluation import Evaluation, Figure, evaluate

__all__ = [
    "Comparison",
    "Evaluation",
    "Figure",
    "compare_predictions",
    "evaluate",
]
