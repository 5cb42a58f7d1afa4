"""Compositional transfer and its ablations on the shared sets: the card's tables."""

from typing import Any

import numpy as np
import torch

from benchmarks.common import DATA, SETS, load, write
from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    LinearClassifier,
    NearestClassMeanClassifier,
    evaluate,
)

SEEDS = range(5)
GROUPS = ("many", "medium", "few", "all")
MEMBERS: dict[str, dict[str, Any]] = {
    "prototypes + classifier": {"donors": "no-transfer"},
    "w_h(0)": {"donors": 0},
    "w_h(20)": {"donors": 20},
    "w_h(100)": {"donors": 100},
    "ensemble w_h(0, 20, 100)": {"donors": (0, 20, 100)},
    "continual ensemble (p, w_hc(20), w_hc(100))": {
        "donors": ("prototypes", 20, 100),
        "include_weight": False,
    },
    "attention w→p": {"attention": "weight-to-prototype"},
    "attention w→w": {"attention": "weight-to-weight"},
    "attention p→p": {"attention": "prototype-to-prototype"},
}


def trained_head(name: str) -> CosineHead | None:
    """Return the head that was trained with the features, where there is one."""
    path = DATA / SETS[name] / "head.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        return CosineHead(torch.from_numpy(file["weight"]), float(file["scale"]))


def run(name: str) -> dict[str, list[list[float]]]:
    """Return per method and seed the accuracy of many, medium, few and all."""
    train, test = load(name, "train"), load(name, "test")
    counts = np.bincount(train.targets)
    rows: dict[str, list[list[float]]] = {}

    def record(method: str, proba: np.ndarray) -> None:
        result = evaluate(test.targets, proba, counts, n_replicates=0)
        rows.setdefault(method, []).append([result[g].value for g in GROUPS])

    given = trained_head(name)
    data = (train.features, train.targets)
    record("ncm", NearestClassMeanClassifier().fit(*data).predict_proba(test.features))
    for seed in SEEDS:
        linear = LinearClassifier(random_state=seed).fit(*data)
        record("linear", linear.predict_proba(test.features))
        if given is not None and seed > 0:
            continue  # nothing else is random: the base is the given head
        if given is None:
            head = CosineClassifier(random_state=seed).fit(*data).head_
        else:
            head = given
        features = torch.from_numpy(np.asarray(test.features, dtype=np.float32))
        with torch.no_grad():
            record("cosine (the base)", head(features).softmax(1).numpy())
        for label, options in MEMBERS.items():
            classifier = CompositionalClassifier(head, **options).fit(*data)
            record(label, classifier.predict_proba(test.features))
    return rows


def main() -> None:
    tables = {name: run(name) for name in SETS}
    for name, rows in tables.items():
        print(f"\n{name} ({SETS[name]}), test, many/medium/few/all in %")
        print(
            "| method | many | medium | few | all | seeds |\n|---|---|---|---|---|---|"
        )
        for method, values in rows.items():
            mean, spread = 100 * np.mean(values, axis=0), 100 * np.std(values, axis=0)
            cells = [
                f"{m:.1f} ± {s:.1f}" if len(values) > 1 else f"{m:.1f}"
                for m, s in zip(mean, spread, strict=True)
            ]
            print(f"| {method} | {' | '.join(cells)} | {len(values)} |")
    write(
        "compositional_tables",
        {"groups": GROUPS, "seeds": len(SEEDS), "tables": tables},
    )


if __name__ == "__main__":
    main()
