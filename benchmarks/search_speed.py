"""What a search on simulated tails costs, in fits, scorings and matrix products."""

from typing import Any

import numpy as np
import torch

from benchmarks.common import load, median_time, write
from headtail import (
    CompositionalClassifier,
    CosineHead,
    LinearClassifier,
    LogitAdjustedClassifier,
    SimulatedTailSearch,
    TauNormalizedClassifier,
)

GRID = {"tau": [i / 10 for i in range(20)]}


def post_hoc(kind: Any) -> float:
    """Return the time of a search over 20 values / (one fit + one scoring)."""
    train = load("foreign", "train")
    X, y = np.asarray(train.features, dtype=np.float32), train.targets
    estimator = kind(LinearClassifier(), tau=1.0)

    def once() -> None:
        kind(LinearClassifier(), tau=1.0, random_state=0).fit(X, y).predict(X[:2000])

    def search() -> None:
        SimulatedTailSearch(estimator, GRID, random_state=0).fit(X, y)

    return median_time(search, 3) / median_time(once, 3)


def compositional() -> dict[str, float]:
    """Return 20 scorings of compositional transfer over their matrix products."""
    generator = torch.Generator().manual_seed(0)
    n_classes, n_features, n_held = 1_000, 2_048, 20_000
    counts = np.geomspace(1280, 5, n_classes).astype(int)
    weight = torch.randn(n_classes, n_features, generator=generator)
    labels = torch.arange(n_classes).repeat(2)
    few = torch.randn(len(labels), n_features, generator=generator)
    fitted = CompositionalClassifier(CosineHead(weight), donors=0).fit(few, labels)
    fitted.trained_counts_ = counts
    held = torch.randn(n_held, n_features, generator=generator)
    candidates = [
        {"donors": donors, "temperature": temperature}
        for donors in (0, 20, 100, (0, 20, 100))
        for temperature in (1.0, 3.0, 10.0, 30.0, 100.0)
    ]

    def products() -> None:
        for candidate in candidates:
            for k in np.atleast_1d(candidate["donors"]):
                donors = weight[torch.from_numpy(counts > k)]
                (weight @ donors.T) @ donors
                for block in held.split(4096):
                    block @ weight.T

    def scorings() -> None:
        fitted._predict_candidates(held, candidates)

    whole, plain = median_time(scorings, 3), median_time(products, 3)
    return {"scorings_over_products": whole / plain, "seconds": whole}


def main() -> None:
    result: dict[str, Any] = {
        kind.__name__: {"search_over_fit_and_scoring": post_hoc(kind)}
        for kind in (TauNormalizedClassifier, LogitAdjustedClassifier)
    }
    for name, figures in result.items():
        ratio = figures["search_over_fit_and_scoring"]
        print(f"{name}: 20 values / (fit + scoring) {ratio:.2f} (target: below 3)")
    result["CompositionalClassifier"] = compositional()
    ratio = result["CompositionalClassifier"]["scorings_over_products"]
    print(f"CompositionalClassifier: 20 scorings / products {ratio:.2f} (target: 1.5)")
    write("search_speed", result)


if __name__ == "__main__":
    main()
