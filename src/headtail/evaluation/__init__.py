"""Metrics per class and per shot group, with bootstrap intervals."""

from headtail.evaluation.comparison import (
    Comparison,
    compare_predictions,
)
from headtail.evaluation.evaluation import Evaluation, Figure, evaluate
from headtail.evaluation.metrics import FIGURES

__all__ = [
    "FIGURES",
    "Comparison",
    "Evaluation",
    "Figure",
    "compare_predictions",
    "evaluate",
]
