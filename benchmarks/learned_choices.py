"""What the settings of learned transfer were chosen by: validation data, seed 0.

AlphaNet's clamp, start and logits; MetaModelNet's solver, penalty, λ and steps; and how
well the chain does on head classes that it has not seen.
"""

from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from benchmarks.common import load, write
from headtail import (
    CosineClassifier,
    LinearHead,
    MetaModelNetClassifier,
    RetrainedClassifier,
    WeightScaledClassifier,
    evaluate,
)
from headtail.heads import linear_form
from headtail.methods._frozen import frozen_logits
from headtail.methods.transfer import _coefficient_networks as networks
from headtail.methods.transfer import _train_alphanet as alphanet
from headtail.methods.transfer._coefficient_training import epoch_recalls
from headtail.methods.transfer._coefficients import (
    bounded_coefficients,
    normalized_coefficients,
)
from headtail.methods.transfer._meta_training import Recipe, prepare, train_plan
from headtail.statistics import shot_groups

GROUPS = ("many", "medium", "few", "all")
SHOTS = (1, 2, 4, 8, 16, 32, 64)


def arrays(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load a split as two arrays."""
    data = load(name, split)
    return np.asarray(data.features, dtype=np.float32), data.targets


def hard_clamp(raw: Tensor, gamma: float) -> Tensor:
    """Clamp with the gradient that a clamp has: none where it acts."""
    alpha = normalized_coefficients(raw)
    size, floor = alpha.abs(), (1 - gamma) / (raw.shape[1] - 1)
    own, others = size[:, :1].clamp(max=gamma), size[:, 1:].clamp(min=floor)
    clamped = torch.cat([own, others], dim=1)
    return torch.where(alpha < 0, -clamped, clamped)


def straight_through(raw: Tensor, gamma: float) -> Tensor:
    """Clamp as if it were not there, for the gradient."""
    alpha = normalized_coefficients(raw)
    return alpha + (hard_clamp(raw, gamma) - alpha).detach()


def random_start(n_few: int, n_vectors: int, gamma: float) -> Tensor:
    """Start somewhere near 0 instead of at the clamps' edges."""
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.rand(n_few, n_vectors, generator=generator) - 0.05


def out_of_fold(base: Any, X: Tensor, y: np.ndarray) -> Tensor:
    """Return every example's logits from a base fitted without its fifth."""
    order = np.random.default_rng(0).permutation(len(y))
    fold = np.empty(len(y), dtype=int)
    for label in np.unique(y):
        rows = order[y[order] == label]
        fold[rows] = np.arange(len(rows)) % 5
    logits = torch.empty(len(y), len(np.unique(y)))
    for k in range(5):
        held = torch.from_numpy(fold == k)
        fitted = clone(base).fit(X[~held], y[~held.numpy()])
        with torch.inference_mode():
            logits[held] = fitted.head_(X[held])
    return logits


def clamps(name: str) -> dict[str, dict[str, list[float]]]:
    """Return the best epoch's accuracies on validation data, by base and setting."""
    X, y = arrays(name, "train")
    X_held, y_held = map(torch.from_numpy, arrays(name, "val"))
    features, labels = torch.from_numpy(X), torch.from_numpy(y)
    groups = shot_groups(np.bincount(y))
    few = torch.from_numpy(groups.few.nonzero()[0])
    result: dict[str, dict[str, list[float]]] = {}
    for base_name, base in {
        "cosine": CosineClassifier(random_state=0),
        "crt": RetrainedClassifier(random_state=0),
        "lws": WeightScaledClassifier(random_state=0),
    }.items():
        head = linear_form(clone(base).fit(features, y).head_)
        logits = out_of_fold(base, features, y)
        rows = result[f"{name}, {base_name}"] = {
            "base": means(predictions(head, X_held, y_held), groups)
        }
        one_sided, start, frozen = (
            bounded_coefficients,
            networks.starting_coefficients,
            frozen_logits,
        )
        settings = {
            "one-sided": (one_sided, start, frozen),
            "hard": (hard_clamp, start, frozen),
            "straight through": (straight_through, start, frozen),
            "one-sided, random start": (one_sided, random_start, frozen),
            "hard, random start": (hard_clamp, random_start, frozen),
            "one-sided, out-of-fold logits": (
                one_sided,
                start,
                lambda *_, logits=logits: logits.__getitem__,
            ),
        }
        for setting, (clamp, begin, logits_of) in settings.items():
            networks.bounded_coefficients = clamp
            networks.starting_coefficients = begin
            alphanet.frozen_logits = logits_of
            trained = alphanet.train_alphanet(
                head,
                features,
                labels,
                few,
                variant="per-class",
                n_neighbors=5,
                gamma=0.6,
                n_components=None,
                base_ratio=1.0,
                epochs=None,
                learning_rate=None,
                batch_size=64,
                generator=torch.Generator().manual_seed(0),
            )
            recalls = epoch_recalls(
                trained.history,
                trained.composition,
                frozen_logits(head, X_held),
                y_held,
            ).numpy()
            best = np.nanmean(recalls, axis=1).argmax()
            rows[setting] = means(recalls[best], groups)
        networks.bounded_coefficients = one_sided
        networks.starting_coefficients = start
        alphanet.frozen_logits = frozen
    return result


def predictions(head: LinearHead, X: Tensor, y: Tensor) -> np.ndarray:
    """Return the recall of every class."""
    with torch.inference_mode():
        hits = (head(X).argmax(dim=1) == y).double()
    n = head.n_classes
    return (torch.bincount(y, hits, n) / torch.bincount(y, minlength=n)).numpy()


def means(recalls: np.ndarray, groups: Any) -> list[float]:
    """Return the mean recalls of the three groups, and of all classes."""
    members = [*(mask for _, mask in groups.items()), np.ones(len(recalls), bool)]
    return [float(np.nanmean(recalls[mask])) for mask in members]


def chains(name: str, settings: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """Return accuracies on validation data, plain and moved, by setting."""
    X_held, y_held = arrays(name, "val")
    result = {}
    for setting in settings:
        fitted = MetaModelNetClassifier(random_state=0, **setting)
        fitted.fit(*arrays(name, "train"))
        rows = []
        for head in (fitted.plain_head_, fitted.head_):
            with torch.inference_mode():
                proba = head(torch.from_numpy(X_held)).softmax(dim=1).numpy()
            scored = evaluate(y_held, proba, fitted.class_counts_, n_replicates=0)
            rows.append([scored[group].value for group in GROUPS])
        result[f"{name}, {setting}"] = rows
    return result


def unseen_classes(steps: int, learning_rate: float) -> list[list[float]]:
    """Train a chain without every fifth large class of the native features.

    Returns for every number of shots the mean squared error, relative to the targets'
    mean square, of seen and unseen classes: before and after the chain.
    """
    X, y = arrays("native", "train")
    counts = np.bincount(y)
    unseen = torch.from_numpy((counts > 2 * SHOTS[-1]).nonzero()[0][::5])
    recipe = Recipe("softmax", 1e-4, dict.fromkeys(SHOTS, 50), steps, learning_rate)
    generator = torch.Generator().manual_seed(0)
    ready = prepare(
        torch.from_numpy(X),
        torch.from_numpy(y),
        np.arange(len(counts)),
        SHOTS,
        recipe,
        like=torch.empty(0),
        generator=generator,
    )
    heads = [torch.from_numpy((counts > 2 * k).nonzero()[0]) for k in SHOTS]
    splits = []
    for split, head in zip(ready.bank.splits, heads, strict=True):
        kept = ~torch.isin(head, unseen)
        rows = kept[split.labels].nonzero().flatten()
        splits.append(
            split._replace(
                models=split.models[:, kept],
                target=split.target[kept],
                gather=lambda r, rows=rows, gather=split.gather: gather(rows[r]),
                labels=(kept.cumsum(0) - 1)[split.labels[rows]],
            )
        )
    (plan,) = MetaModelNetClassifier()._plans(SHOTS)
    partial = ready._replace(bank=ready.bank._replace(splits=splits))
    chain = train_plan(partial, plan, 0.1, recipe, generator)
    table = []
    for block, (split, head) in enumerate(zip(ready.bank.splits, heads, strict=True)):
        with torch.no_grad():
            moved = chain(split.models.flatten(0, 1), block).view_as(split.models)
        new = torch.isin(head, unseen)
        size = split.target.square().sum(dim=1)
        table.append(
            [
                float(
                    ((weights[:, mask] - split.target[mask]) ** 2).sum(2).mean()
                    / size[mask].mean()
                )
                for mask in (~new, new)
                for weights in (split.models, moved)
            ]
        )
    return table


def percent(values: list[float]) -> str:
    """Return accuracies in percent."""
    return " / ".join(f"{100 * value:.1f}" for value in values)


def main() -> None:
    tables = clamps("native") | clamps("foreign")
    for base, rows in tables.items():
        for setting, values in rows.items():
            print(f"{base}, {setting}: {percent(values)}")
    settings: list[dict[str, Any]] = [
        *({"performance_weight": weight} for weight in (0.0, 0.1, 1.0, 10.0)),
        *({"penalty": penalty} for penalty in (1e-5, 1e-3)),
        *({"solver": "ridge", "penalty": penalty} for penalty in (1e-4, 1e-3)),
        {"steps": 200},
        {"learning_rate": 1e-3},
        {"n_models": (1000, 500, 200, 200, 200, 200, 200)},
    ]
    moved = chains("native", settings)
    moved |= chains("foreign", [{"performance_weight": w} for w in (0.1, 1.0)])
    for name, (plain, result) in moved.items():
        print(f"{name}: {percent(plain)} > {percent(result)}")
    errors = {
        f"{steps} steps at {rate:g}": unseen_classes(steps, rate)
        for steps, rate in ((50, 1e-4), (100, 1e-3))
    }
    for name, table in errors.items():
        for k, row in zip(SHOTS, table, strict=True):
            cells = "{:.2f} > {:.2f}, unseen {:.2f} > {:.2f}".format(*row)
            print(f"{name}, {k} shots: seen {cells}")
    write(
        "learned_choices",
        {"groups": GROUPS, "clamps": tables, "chains": moved, "unseen": errors},
    )


if __name__ == "__main__":
    main()
