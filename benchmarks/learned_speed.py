"""Speed of learned transfer, as ratios in one run."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from torch import Tensor, nn

from benchmarks.common import imagenet_lt_counts, load, write
from headtail.methods.transfer._bank import scaled_features
from headtail.methods.transfer._coefficient_networks import (
    PerClassNetworks,
    first_layers,
)
from headtail.methods.transfer._coefficient_training import (
    Composition,
    Schedule,
    train_coefficients,
)
from headtail.methods.transfer._coefficients import (
    bounded_coefficients,
    principal_components,
)
from headtail.methods.transfer._shot_models import draw_shots, shot_models

GAMMA, K, N_FEATURES, WIDTH = 0.6, 5, 2048, 500
PENALTY = {"softmax": 1e-4, "ridge": 1e-3}


class LoopedNetworks(nn.Module):
    """The networks as the paper has them: one module per class, in a loop."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.inputs = inputs
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(inputs.shape[1], WIDTH),
                nn.LeakyReLU(0.01),
                nn.Linear(WIDTH, K + 1),
            )
            for _ in inputs
        )

    def forward(self) -> Tensor:
        """Return the bounded coefficients of all classes."""
        pairs = zip(self.networks, self.inputs, strict=True)
        raw = torch.stack([network(row) for network, row in pairs])
        return bounded_coefficients(raw, GAMMA)


def alphanet() -> dict[str, Any]:
    """Time an epoch of ImageNet-LT's few-shot classes: 136 of 1,000, 2,048 features."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.from_numpy(imagenet_lt_counts())
    few = (counts < 20).nonzero().flatten()
    base = (counts >= 20).nonzero().flatten()
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    weight = torch.randn(len(counts), N_FEATURES, generator=generator)
    drawn = torch.rand(len(few), len(base), generator=generator).argsort(dim=1)[:, :K]
    vectors = torch.cat([few[:, None], base[drawn]], dim=1)
    composition = Composition(few, vectors, torch.zeros(len(counts)), True)
    # One row per class: what the logits are makes no difference to the time.
    logits = torch.randn(len(counts), len(counts), generator=generator)
    inputs = principal_components(weight, WIDTH)[vectors].flatten(1)

    def train(network: nn.Module, epochs: int) -> float:
        begin = time.perf_counter()
        train_coefficients(
            network,
            composition,
            lambda rows: logits[labels[rows]],
            labels,
            schedule=Schedule(epochs, 64, 0.1, 20, False, 1.0, False),
            generator=generator,
            label="",
        )
        return (time.perf_counter() - begin) / epochs

    begin = time.perf_counter()
    hidden = first_layers(inputs, WIDTH, generator)
    batched = PerClassNetworks(hidden, inputs, GAMMA, K + 1, generator)
    start = time.perf_counter() - begin
    ours, loop = train(batched, 10), train(LoopedNetworks(inputs), 1)
    print(
        f"AlphaNet, {len(few)} networks: a loop over them takes {loop / ours:.0f} x as "
        f"long an epoch (target: at least 10); {loop:.1f} s and {ours:.2f} s, and "
        f"{start:.1f} s once"
    )
    return {
        "n_few": len(few),
        "loop_over_ours": loop / ours,
        "loop_over_ours_with_start_100_epochs": loop / (ours + start / 100),
        "seconds": {"loop": loop, "ours": ours, "start": start},
    }


def bank(solver: str, shots: int, n_models: int, n_theirs: int) -> dict[str, Any]:
    """Time k-shot models of the foreign features against scikit-learn one by one."""
    train, validation = load("foreign", "train"), load("foreign", "val")
    features = torch.from_numpy(np.asarray(train.features, dtype=np.float32))
    labels = torch.from_numpy(train.targets)
    scaled = scaled_features(features, labels, torch.empty(0))
    held = torch.from_numpy(np.asarray(validation.features, dtype=np.float32))
    held = (held - scaled.center) / scaled.spread
    head = (torch.bincount(labels) > 2 * shots).nonzero().flatten()
    rows = torch.isin(labels, head).nonzero().flatten()
    local = torch.searchsorted(head, labels[rows])
    known = torch.isin(torch.from_numpy(validation.targets), head)
    held, truth = (
        held[known],
        torch.searchsorted(head, torch.from_numpy(validation.targets)[known]),
    )
    generator = torch.Generator().manual_seed(0)
    penalty = PENALTY[solver]

    def learn(n: int) -> Tensor:
        return shot_models(
            lambda chosen: scaled.features[rows[chosen]],
            local,
            n,
            shots,
            solver=solver,  # type: ignore[arg-type]
            penalty=penalty,
            generator=generator,
        )

    learn(2)
    begin = time.perf_counter()
    models = learn(n_models)
    ours = (time.perf_counter() - begin) / n_models
    predicted = torch.einsum("nf,mcf->mnc", held, models).argmax(dim=2)
    accuracy = (predicted == truth).double().mean().item()

    n_samples = len(head) * shots
    build: Callable[[], Any] = (
        (lambda: LogisticRegression(C=1 / (n_samples * penalty), max_iter=1000))
        if solver == "softmax"
        else (lambda: RidgeClassifier(alpha=n_samples * penalty))
    )
    times, scores = [], []
    for chosen in draw_shots(local, n_theirs, shots, generator):
        X, y = scaled.features[rows[chosen]].numpy(), local[chosen].numpy()
        classifier = build()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            begin = time.perf_counter()
            classifier.fit(X, y)
        times.append(time.perf_counter() - begin)
        scores.append(classifier.score(held.numpy(), truth.numpy()))
    theirs, their_accuracy = float(np.mean(times)), float(np.mean(scores))
    print(
        f"{shots}-shot {solver} models of {len(head)} classes: scikit-learn takes "
        f"{theirs / ours:.1f} x as long a model (target: at least "
        f"{30 if solver == 'softmax' else 3}); {1000 * theirs:.0f} ms and "
        f"{1000 * ours:.1f} ms; accuracy {100 * their_accuracy:.1f} and "
        f"{100 * accuracy:.1f} %"
    )
    return {
        "solver": solver,
        "shots": shots,
        "n_classes": len(head),
        "n_models": {"ours": n_models, "scikit_learn": n_theirs},
        "scikit_learn_over_ours": theirs / ours,
        "accuracy": {"ours": accuracy, "scikit_learn": their_accuracy},
        "milliseconds": {"ours": 1000 * ours, "scikit_learn": 1000 * theirs},
    }


def main() -> None:
    banks = [
        bank("softmax", 1, 300, 10),
        bank("softmax", 4, 60, 6),
        bank("ridge", 1, 300, 60),
        bank("ridge", 4, 100, 30),
    ]
    write("learned_speed", {"alphanet": alphanet(), "bank": banks})


if __name__ == "__main__":
    main()
