"""From feature sets to fitted, extended, evaluated and compared classifiers."""

from headtail.workflow.compare import (
    TRAINED,
    compare,
    methods_on,
    report_of,
    save_comparison,
)
from headtail.workflow.describe import describe
from headtail.workflow.fit import add_examples, fit_method, fit_on_statistics
from headtail.workflow.train import (
    TrainedRecipe,
    build_model,
    run_recipe,
)
from headtail.workflow.use import evaluate_classifier, predict_features

__all__ = [
    "TRAINED",
    "TrainedRecipe",
    "add_examples",
    "build_model",
    "compare",
    "describe",
    "evaluate_classifier",
    "fit_method",
    "fit_on_statistics",
    "methods_on",
    "predict_features",
    "report_of",
    "run_recipe",
    "save_comparison",
]
