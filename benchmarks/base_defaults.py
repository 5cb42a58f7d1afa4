"""The defaults of LinearClassifier against LogisticRegression, on validation data."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.common import SETS, load, write
from headtail import CosineClassifier, LinearClassifier, evaluate

SEEDS = range(5)
GRID = {
    "foreign": (0.1, 1, 10, 100),
    "native": (1, 10, 100, 1000, 10000),
    "plankton": (0.01, 0.1, 1),
}


def mean_recall(classifier: object, name: str) -> float:
    validation = load(name, "val")
    proba = classifier.predict_proba(validation.features)
    counts = np.bincount(load(name, "train").targets)
    return evaluate(validation.targets, proba, counts, n_replicates=0)["all"].value


result = {}
for name in SETS:
    train = load(name, "train")
    data = (np.asarray(train.features, dtype=np.float32), train.targets)
    curve = {}
    for c in GRID[name]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=c, max_iter=300).fit(*data)
        curve[str(c)] = mean_recall(model, name)
    ours = {
        kind.__name__: [
            mean_recall(kind(random_state=seed).fit(*data), name) for seed in SEEDS
        ]
        for kind in (LinearClassifier, CosineClassifier)
    }
    best = max(curve.values())
    gap = 100 * (np.mean(ours["LinearClassifier"]) - best)
    print(
        f"{name}: LogisticRegression {100 * best:.1f}, LinearClassifier "
        f"{100 * np.mean(ours['LinearClassifier']):.1f} ({gap:+.1f}; target: at least "
        f"-1.0), CosineClassifier {100 * np.mean(ours['CosineClassifier']):.1f}"
    )
    proba = LinearClassifier(random_state=0).fit(*data).predict_proba(data[0])
    training = {
        "accuracy": float((proba.argmax(axis=1) == data[1]).mean()),
        "confidence": float(proba.max(axis=1).mean()),
    }
    print(f"  on training data, seed 0: {training}", flush=True)
    result[name] = {
        "logistic_regression_by_c": curve,
        "seeds": ours,
        "gap": gap,
        "linear_on_training_data": training,
    }
write("base_defaults", {"mean_recall_on_validation": result})
