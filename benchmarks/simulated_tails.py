"""How far choices without test data are from those of an oracle that sees the test set.

For τ-norm, logit adjustment and compositional transfer (k and temperature): the
candidate that `SimulatedTailSearch` chooses, the one that a held-out part of the
training data chooses, and the one that is best on the test data, which no user has.
"""

from typing import Any

import numpy as np
import torch
from sklearn.model_selection import ParameterGrid

from benchmarks.common import SETS, load, write
from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    LinearClassifier,
    LogitAdjustedClassifier,
    SimulatedTailSearch,
    TauNormalizedClassifier,
)
from headtail.methods._selection import mean_recalls
from headtail.tensors import as_tensor

SEEDS = range(5)
SEARCHES: dict[str, tuple[Any, Any, dict[str, list[Any]]]] = {
    "tau-norm": (
        TauNormalizedClassifier,
        LinearClassifier,
        {"tau": [i / 10 for i in range(21)]},
    ),
    "logit-adjustment": (
        LogitAdjustedClassifier,
        LinearClassifier,
        {"tau": [i / 10 for i in range(31)]},
    ),
    "compositional": (
        CompositionalClassifier,
        CosineClassifier,
        {
            "donors": [0, 20, 100, (0, 20, 100)],
            "temperature": [1.0, 3.0, 10.0, 30.0, 100.0],
        },
    ),
}


def test_accuracies(fitted: Any, grid: dict[str, list[Any]], name: str) -> np.ndarray:
    """Return every candidate's mean class recall on the test data."""
    test = load(name, "test")
    features = as_tensor(np.asarray(test.features, dtype=np.float32))
    predicted = fitted._predict_candidates(features, list(ParameterGrid(grid)))
    labels = torch.from_numpy(np.searchsorted(fitted.classes_, test.targets))
    recalls = mean_recalls(predicted, labels, len(fitted.classes_))
    return recalls.nanmean(dim=1).numpy()


def main() -> None:
    result: dict[str, Any] = {}
    for name in SETS:
        train = load(name, "train")
        data = (np.asarray(train.features, dtype=np.float32), train.targets)
        for method, (kind, base, grid) in SEARCHES.items():
            candidates = list(ParameterGrid(grid))
            rows = []
            for seed in SEEDS:
                search = SimulatedTailSearch(kind(base()), grid, random_state=seed).fit(
                    *data
                )
                accuracy = test_accuracies(search.best_estimator_, grid, name)
                oracle = int(accuracy.argmax())
                row = {
                    "chosen": candidates[search.selection_.best_index],
                    "oracle": candidates[oracle],
                    "accuracy": float(accuracy[search.selection_.best_index]),
                    "oracle_accuracy": float(accuracy[oracle]),
                    "default_accuracy": float(accuracy[default(kind, candidates)]),
                    "score": search.best_score_,
                }
                if method != "compositional":
                    auto = kind(base(), tau="auto", random_state=seed).fit(*data)
                    held = candidates.index({"tau": auto.tau_})
                    row["held_out_chosen"] = candidates[held]
                    row["held_out_accuracy"] = float(accuracy[held])
                rows.append(row)
            result[f"{name} {method}"] = rows
            keys = [k for k in rows[0] if k.endswith("accuracy")]
            means = {k: 100 * np.mean([r[k] for r in rows]) for k in keys}
            text = ", ".join(f"{k} {v:.1f}" for k, v in means.items())
            print(f"{name} {method}: {text}; chosen {[r['chosen'] for r in rows]}")
            print(f"   oracle {[r['oracle'] for r in rows]}", flush=True)
    write("simulated_tails", {"seeds": list(SEEDS), "searches": result})


def default(kind: Any, candidates: list[dict[str, Any]]) -> int:
    """Return the position of the papers' candidate: τ = 1, or the ensemble with 10."""
    if kind is CompositionalClassifier:
        return candidates.index({"donors": (0, 20, 100), "temperature": 10.0})
    return candidates.index({"tau": 1.0})


if __name__ == "__main__":
    main()
