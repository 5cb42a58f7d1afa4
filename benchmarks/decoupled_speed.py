"""Speed of the decoupled methods, as ratios to the matrix products that they need."""

import time
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.common import imagenet_lt_features, load, median_time, write
from headtail import (
    LinearClassifier,
    LinearHead,
    RetrainedClassifier,
    TauNormalizedClassifier,
    WeightScaledClassifier,
)
from headtail.methods._selection import mean_recalls

EPOCHS, BATCH = 2, 512


def crt_rate() -> dict[str, Any]:
    """Time cRT of ImageNet-LT's shape against a loop of its two products per batch."""
    features, labels = imagenet_lt_features()
    n_samples, n_features = features.shape
    n_classes = int(labels.max()) + 1
    weight, gradient = torch.randn(n_classes, n_features), torch.randn(BATCH, n_classes)

    def products() -> None:
        for _ in range(EPOCHS):
            for start in range(0, n_samples, BATCH):
                batch = features[start : start + BATCH]
                torch.mm(batch, weight.T)
                torch.mm(gradient[: len(batch)].T, batch)

    y = labels.numpy()

    def fit() -> None:
        RetrainedClassifier(epochs=EPOCHS, batch_size=BATCH, random_state=0).fit(
            features, y
        )

    plain, ours = median_time(products, 3), median_time(fit, 3)
    work = 4 * n_samples * n_features * n_classes * EPOCHS
    print(
        f"cRT: {100 * plain / ours:.0f} % of the product rate (target: at least 60 %)"
    )
    return {
        "shape": [n_samples, n_features, n_classes],
        "epochs": EPOCHS,
        "share_of_product_rate": plain / ours,
        "gflops": {"products": work / plain / 1e9, "crt": work / ours / 1e9},
    }


def tau_grid() -> dict[str, Any]:
    """21 values of τ on 50,000 samples and 1,000 classes against one evaluation."""
    generator = torch.Generator().manual_seed(0)
    n_samples, n_classes, n_features = 50_000, 1_000, 2_048
    features = torch.randn(n_samples, n_features, generator=generator)
    weight = torch.randn(n_classes, n_features, generator=generator)
    labels = torch.arange(n_samples) % n_classes
    few = features[: 2 * n_classes], labels[: 2 * n_classes].numpy()
    fitted = TauNormalizedClassifier(LinearHead(weight), tau=1.0).fit(*few)
    candidates = [{"tau": i / 10} for i in range(21)]

    def score(values: list[dict[str, float]]) -> torch.Tensor:
        predicted = fitted._predict_candidates(features, values)
        return mean_recalls(predicted, labels, n_classes).nanmean(dim=1)

    def one() -> torch.Tensor:
        """Evaluate the fitted classifier as a user does."""
        predicted = torch.from_numpy(fitted.predict(features))[None]
        return mean_recalls(predicted, labels, n_classes).nanmean(dim=1)

    whole, single = median_time(lambda: score(candidates), 3), median_time(one, 3)
    print(f"τ grid / one evaluation: {whole / single:.2f} (target: at most 2)")
    return {
        "shape": [n_samples, n_features, n_classes],
        "values": len(candidates),
        "grid_over_one_evaluation": whole / single,
        "seconds": {"grid": whole, "one": single},
    }


def lws_logits() -> dict[str, Any]:
    """Count the rows that LWS sends through the frozen head."""
    train = load("foreign", "train")
    X = np.asarray(train.features, dtype=np.float32)
    head = LinearClassifier(epochs=1, random_state=0).fit(X, train.targets).head_
    seen, forward = [], LinearHead.forward

    def counted(self: LinearHead, features: torch.Tensor) -> torch.Tensor:
        seen.append(len(features))
        return forward(self, features)

    LinearHead.forward = counted  # type: ignore[method-assign]
    try:
        WeightScaledClassifier(head, random_state=0).fit(X, train.targets)
    finally:
        LinearHead.forward = forward  # type: ignore[method-assign]
    print(f"LWS: {sum(seen) / len(X):.2f} frozen logits per example (target: 1)")
    return {"frozen_logits_per_example": sum(seen) / len(X)}


def against_scikit_learn() -> dict[str, Any]:
    """Return LogisticRegression's time over ours, at the same training loss or below.

    Without weight decay, at the default rate and at that of the loss rows.
    """
    train = load("foreign", "train")
    X, y = np.asarray(train.features, dtype=np.float32), train.targets

    def loss(classifier: Any) -> float:
        proba = torch.from_numpy(classifier.predict_proba(X).astype(np.float64))
        return F.nll_loss(proba.clamp(min=1e-12).log(), torch.from_numpy(y)).item()

    result = {}
    for rate in (2.0, 20.0):
        ours = LinearClassifier(weight_decay=0.0, learning_rate=rate, random_state=0)
        begin = time.perf_counter()
        ours.fit(X, y)
        own_time, own_loss = time.perf_counter() - begin, loss(ours)
        # The fewest iterations that reach our loss, of a doubling sequence.
        for iterations in (5, 10, 20, 40, 80, 160, 320, 640):
            theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=iterations)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                begin = time.perf_counter()
                theirs.fit(X, y)
                their_time = time.perf_counter() - begin
            their_loss = loss(theirs)
            if their_loss <= own_loss:
                break
        print(
            f"LogisticRegression / LinearClassifier at rate {rate:g}: "
            f"{their_time / own_time:.2f} at training loss {their_loss:.3f} "
            f"({iterations} iterations) and {own_loss:.3f}"
        )
        result[f"learning_rate_{rate:g}"] = {
            "time_over_ours": their_time / own_time,
            "iterations": iterations,
            "loss": {"scikit_learn": their_loss, "headtail": own_loss},
            "seconds": {"scikit_learn": their_time, "headtail": own_time},
        }
    return result


def main() -> None:
    write(
        "decoupled_speed",
        {
            "crt": crt_rate(),
            "tau_grid": tau_grid(),
            "lws": lws_logits(),
            "logistic_regression": against_scikit_learn(),
        },
    )


if __name__ == "__main__":
    main()
