"""AlphaNet on four bases, best few and best overall, and MetaModelNet's plain solver.

The epochs are chosen on the validation splits, as in the paper; figures are of test.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.common import SETS, load, write
from headtail import (
    AlphaNetClassifier,
    CosineClassifier,
    LinearClassifier,
    MetaModelNetClassifier,
    RetrainedClassifier,
    WeightScaledClassifier,
    evaluate,
)

SEEDS = range(5)
GROUPS = ("many", "medium", "few", "all")
PLAIN = "class-balanced softmax (plain)"
VARIANTS = ("per-class", "direct", "shared")


def measure(name: str) -> dict[str, list[list[float]]]:
    """Return rows of accuracies by group, one list per seed."""
    train, validation, test = (load(name, s) for s in ("train", "val", "test"))
    data = np.asarray(train.features, dtype=np.float32), train.targets
    chosen_on = np.asarray(validation.features, dtype=np.float32), validation.targets
    features = torch.from_numpy(np.asarray(test.features, dtype=np.float32))
    counts = np.bincount(train.targets)
    rows: dict[str, list[list[float]]] = {}

    def add(row: str, head: torch.nn.Module) -> None:
        with torch.inference_mode():
            proba = head(features).softmax(dim=1).numpy()
        result = evaluate(test.targets, proba, counts, n_replicates=0)
        rows.setdefault(row, []).append([result[group].value for group in GROUPS])

    plain = MetaModelNetClassifier(shots=(1,), n_models=1, steps=1, random_state=0)
    with warnings.catch_warnings():  # that there is nothing to transfer
        warnings.simplefilter("ignore", UserWarning)
        add(PLAIN, plain.fit(*data).plain_head_)
    for seed in SEEDS:
        linear = LinearClassifier(random_state=seed).fit(*data)
        bases: dict[str, Any] = {
            "linear": linear.head_,
            "cosine": CosineClassifier(random_state=seed).fit(*data).head_,
            "crt": RetrainedClassifier(random_state=seed).fit(*data).head_,
            "lws": WeightScaledClassifier(linear.head_, random_state=seed)
            .fit(*data)
            .head_,
        }
        for base, head in bases.items():
            add(base, head)
            for variant in VARIANTS:
                alphanet = AlphaNetClassifier(head, variant=variant, random_state=seed)
                with warnings.catch_warnings():  # the split lacks a class
                    warnings.simplefilter("ignore", UserWarning)
                    alphanet.fit(*data, validation=chosen_on)
                add(f"{base} + {variant}, best few", alphanet.best_head("few"))
                add(f"{base} + {variant}, best overall", alphanet.best_head("overall"))
        print(f"{name}: seed {seed}", flush=True)
    return rows


def table(rows: dict[str, list[list[float]]]) -> str:
    """Return a Markdown table, in percent: mean ± standard deviation over seeds."""
    lines = ["| classifier | many | medium | few | all |", "|---|---|---|---|---|"]
    for row, seeds in rows.items():
        values = 100 * np.array(seeds)
        cells = [
            f"{m:.1f} ± {s:.1f}" if len(seeds) > 1 else f"{m:.1f}"
            for m, s in zip(values.mean(axis=0), values.std(axis=0), strict=True)
        ]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


CHAIN_ROWS = (
    "linear",
    "over-sampling",
    "under-sampling",
    "class-weighted",
    PLAIN,
    "model-regression",
    "metamodelnet-fixed",
    "metamodelnet",
)


def card_table(tables: dict[str, dict[str, list[list[float]]]]) -> str:
    """Return the table of AlphaNet's card."""
    rows = [row for row in next(iter(tables.values())) if "direct" not in row]
    return _few_and_all(rows, tables)


def chain_table(
    tables: dict[str, dict[str, list[list[float]]]], methods: dict[str, Any]
) -> str:
    """Return the table of MetaModelNet's card; `methods` are `method_tables`' ones."""
    joined = {
        name: {
            row: rows[PLAIN] if row == PLAIN else methods[name][row]["seeds"]
            for row in CHAIN_ROWS
        }
        for name, rows in tables.items()
    }
    return _few_and_all(CHAIN_ROWS, joined)


def _few_and_all(
    names: Sequence[str], tables: dict[str, dict[str, list[list[float]]]]
) -> str:
    """Return a table of few-shot and all classes on all sets, in percent."""
    head = [f"{name}, {group}" for name in tables for group in ("few", "all")]
    lines = [f"| classifier | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for row in names:
        cells = []
        for rows in tables.values():
            values = 100 * np.array(rows[row])[:, [2, 3]]
            mean, spread = values.mean(axis=0), values.std(axis=0)
            cells += [
                f"{m:.1f} ± {s:.1f}" if len(values) > 1 else f"{m:.1f}"
                for m, s in zip(mean, spread, strict=True)
            ]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    tables = {name: measure(name) for name in SETS}
    for name, rows in tables.items():
        print(f"\n{name}\n\n{table(rows)}")
    write(
        "learned_transfer",
        {"groups": GROUPS, "seeds": list(SEEDS), "tables": tables},
    )


if __name__ == "__main__":
    main()
