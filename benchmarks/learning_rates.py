"""The learning rates of the loss rows and the decoupled methods, on validation data.

Measures the rows that the results lack.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, SETS, load, write
from headtail import evaluate
from headtail.methods import shared_bases
from headtail.registry import get_method

RATES: Mapping[str, tuple[float, ...]] = {
    "over-sampling": (2.0, 20.0),
    "under-sampling": (2.0, 20.0),
    "class-weighted": (2.0, 20.0),
    "focal": (2.0, 20.0),
    "class-balanced": (2.0, 20.0),
    "balanced-softmax": (2.0, 20.0),
    "lade": (2.0, 20.0),
    "ldam-drw": (0.05, 0.1, 0.3),
    "crt": (0.5, 2.0, 5.0, 20.0),
    "lws": (0.05, 0.2, 1.0),
    "disalign": (0.02, 0.1, 0.5),
    "causal-norm": (0.1, 0.5, 2.0),
}


def mean_recalls(
    name: str, known: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Return the mean class recall on validation data by method and rate, seed 0."""
    train, validation = load(name, "train"), load(name, "val")
    data = (np.asarray(train.features, dtype=np.float32), train.targets)
    counts = np.bincount(train.targets)
    rows: dict[str, dict[str, float]] = {}
    with shared_bases():
        for method, rates in RATES.items():
            if set(known.get(method, ())) == {f"{rate:g}" for rate in rates}:
                rows[method] = known[method]
                continue
            for rate in rates:
                classifier: Any = get_method(method).build()
                classifier.set_params(learning_rate=rate, random_state=0).fit(*data)
                proba = classifier.predict_proba(validation.features)
                result = evaluate(validation.targets, proba, counts, n_replicates=0)
                rows.setdefault(method, {})[f"{rate:g}"] = result["all"].value
    return rows


def main() -> None:
    path = RESULTS / "learning_rates.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    known = stored.get("mean_recall_on_validation", {})
    tables = {name: mean_recalls(name, known.get(name, {})) for name in SETS}
    for name, rows in tables.items():
        for method, row in rows.items():
            text = ", ".join(f"{rate}: {100 * v:.1f}" for rate, v in row.items())
            print(f"{name} {method}: {text}")
    write("learning_rates", {"seed": 0, "mean_recall_on_validation": tables})


if __name__ == "__main__":
    main()
