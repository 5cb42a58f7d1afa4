"""Speed of learned transfer, as ratios in one run."""

import time
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
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
PAPER = {1: 1000, 2: 500, 4: 200, 8: 200, 16: 200, 32: 200, 64: 200}
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


class BatchedNetworks(nn.Module):
    """The same networks in one batch, with all their weights."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.inputs = inputs[:, :, None]
        n_few, n_inputs = inputs.shape
        bound = n_inputs**-0.5
        first = torch.empty(n_few, WIDTH, n_inputs).uniform_(-bound, bound)
        second = torch.empty(n_few, K + 1, WIDTH).uniform_(-(WIDTH**-0.5), WIDTH**-0.5)
        self.first, self.second = nn.Parameter(first), nn.Parameter(second)
        self.first_bias = nn.Parameter(torch.zeros(n_few, WIDTH, 1))
        self.second_bias = nn.Parameter(torch.zeros(n_few, K + 1, 1))

    def forward(self) -> Tensor:
        """Return the bounded coefficients of all classes."""
        hidden = F.leaky_relu(self.first @ self.inputs + self.first_bias, 0.01)
        return bounded_coefficients(
            (self.second @ hidden + self.second_bias)[:, :, 0], GAMMA
        )


def alphanet() -> dict[str, Any]:
    """Time an epoch of ImageNet-LT's few-shot classes: 136 of 1,000, 2,048 features.

    The loop and the batch train every weight of the first layers; ours trains what
    those make of their constant inputs, which is the same training, see the tests.
    """
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
    train(batched, 1)  # to warm up
    ours = train(batched, 10) + start / 100  # the start is paid once in 100 epochs
    whole = train(BatchedNetworks(inputs), 1)
    loop = train(LoopedNetworks(inputs), 1)
    print(
        f"AlphaNet, {len(few)} networks, an epoch: a loop over them takes "
        f"{loop / ours:.0f} x as long (target: at least 10), one batch of all their "
        f"weights {whole / ours:.0f} x; {loop:.1f}, {whole:.1f} and {ours:.2f} s"
    )
    return {
        "n_few": len(few),
        "loop_over_ours": loop / ours,
        "batch_of_all_weights_over_ours": whole / ours,
        "seconds_per_epoch": {"loop": loop, "batch": whole, "ours": ours},
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

    alpha = len(head) * shots * penalty
    rows_of_theirs = draw_shots(local, n_theirs, shots, generator)
    result: dict[str, Any] = {
        "solver": solver,
        "shots": shots,
        "n_classes": len(head),
        "n_models": {"ours": n_models, "scikit_learn": n_theirs},
        "ours": {"accuracy": accuracy, "milliseconds": 1000 * ours},
    }
    # As it comes, and without the intercept, which our centred features do without.
    for name, intercept in (("default", True), ("no_intercept", False)):
        times, scores = [], []
        for chosen in rows_of_theirs:
            X, y = scaled.features[rows[chosen]].numpy(), local[chosen].numpy()
            if solver == "softmax":
                classifier: Any = LogisticRegression(
                    C=1 / alpha, fit_intercept=intercept, max_iter=1000
                )
            else:
                classifier = RidgeClassifier(alpha=alpha, fit_intercept=intercept)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # convergence, few examples a class
                begin = time.perf_counter()
                classifier.fit(X, y)
            times.append(time.perf_counter() - begin)
            scores.append(classifier.score(held.numpy(), truth.numpy()))
        theirs, their_accuracy = float(np.mean(times)), float(np.mean(scores))
        print(
            f"{shots}-shot {solver} models of {len(head)} classes: scikit-learn "
            f"({name}) takes {theirs / ours:.1f} x as long a model (target: at least "
            f"{30 if solver == 'softmax' else 3}); {1000 * theirs:.1f} ms and "
            f"{1000 * ours:.1f} ms; accuracy {100 * their_accuracy:.1f} and "
            f"{100 * accuracy:.1f} %"
        )
        result[name] = {
            "over_ours": theirs / ours,
            "accuracy": their_accuracy,
            "milliseconds": 1000 * theirs,
        }
    return result


def whole_bank(solver: str) -> dict[str, Any]:
    """Extrapolate the paper's bank, 300 head classes of 1,280 features, from one model
    of every number of shots.
    """  # noqa: D205
    generator = torch.Generator().manual_seed(0)
    n_classes, n_features = 300, 1280
    features = torch.randn(n_classes * 130, n_features, generator=generator)
    labels = torch.arange(len(features)) % n_classes
    features += 2 * torch.randn(n_classes, n_features, generator=generator)[labels]
    seconds = {}
    for shots, n_models in PAPER.items():
        begin = time.perf_counter()
        n_timed = 4 if shots < 8 else 1
        shot_models(
            features.__getitem__,
            labels,
            n_timed,
            shots,
            solver=solver,  # type: ignore[arg-type]
            penalty=PENALTY[solver],
            generator=generator,
        )
        seconds[shots] = (time.perf_counter() - begin) / n_timed * n_models
    minutes = sum(seconds.values()) / 60
    models = sum(PAPER.values()) * n_classes * n_features * 4 / 2**30
    print(
        f"{solver}: the paper's {sum(PAPER.values())} models of {n_classes} classes "
        f"would take {minutes:.0f} minutes here and {models:.1f} GiB"
    )
    return {"solver": solver, "minutes": minutes, "gib": models, "seconds": seconds}


def main() -> None:
    banks = [
        bank("softmax", 1, 300, 10),
        bank("softmax", 4, 60, 6),
        bank("ridge", 1, 300, 60),
        bank("ridge", 4, 100, 30),
    ]
    wholes = [whole_bank(solver) for solver in ("ridge", "softmax")]
    write(
        "learned_speed",
        {"alphanet": alphanet(), "bank": banks, "whole_bank": wholes},
    )


if __name__ == "__main__":
    main()
