"""What the networks of `image_backbones` and all methods make of CIFAR-100-LT's images.

``python -m benchmarks image_tables``: CKT's tables 4 and 5 and its figure 2 in small,
and every method on the features of two of the networks; docs/benchmarks.md. Of the
methods those are measured that the results lack;
``python -m benchmarks.image_tables --all`` measures every one again.
"""

import itertools
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.common import RESULTS, write
from benchmarks.image_backbones import HEADS, N_EPOCHS, RUNS, SAMPLINGS, images
from headtail import FeatureSet, compare, evaluate, shot_groups
from headtail.features import extract
from headtail.training import ImageClassifier
from headtail.workflow import TRAINED, methods_on

GROUPS = ("many", "medium", "few", "all")
SEEDS = range(3)
# Whose features all methods are compared on: CKT's base, and that of Decoupling.
BASES = ("cosine-sqrt", "linear-instance")
BINS = (5, 10, 20, 50, 100, 200, 501)


def network(name: str) -> ImageClassifier:
    """Load the network after its last epoch: no data chose it."""
    folder = RUNS / f"resnet32-{name}-0"
    if not (folder / "last.safetensors").exists():
        raise SystemExit("skipped: run image_backbones first")
    return ImageClassifier.load(folder / "last.safetensors")


def features_of(
    name: str, splits: Sequence[str] = ("train", "val", "test")
) -> dict[str, FeatureSet]:
    """Return the features of the splits, extracted once."""
    model = network(name)
    return {
        split: extract(
            model.backbone,
            images(split),
            preprocessing=model.preprocessing,
            bf16=True,
        )
        for split in splits
    }


def groups_of(data: FeatureSet, logits: np.ndarray, counts: np.ndarray) -> list[float]:
    result = evaluate(data.targets, softmax(logits), counts, n_replicates=0)
    return [result[group].value for group in GROUPS]


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(dim=1).numpy()


def logits_of(model: ImageClassifier, data: FeatureSet) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model.head(torch.from_numpy(data.features)).numpy())


def prototype_logits(source: FeatureSet, data: FeatureSet) -> np.ndarray:
    """Return cosines to the prototypes; -inf for a class that the source lacks."""
    unit = torch.nn.functional.normalize
    labels = torch.from_numpy(source.targets)
    sums = torch.zeros(100, source.features.shape[1])
    sums.index_add_(0, labels, unit(torch.from_numpy(source.features)))
    cosines = unit(torch.from_numpy(data.features)) @ unit(sums).T
    present = torch.bincount(labels, minlength=100) > 0
    return torch.where(present, 16 * cosines, -torch.inf).numpy()


def inside_group(logits: np.ndarray, data: FeatureSet, members: np.ndarray) -> float:
    """Return the mean recall of a group's classes when no others can be answered."""
    rows = members[data.targets]
    masked = np.where(members, logits[rows], -np.inf)
    hits = masked.argmax(axis=1) == data.targets[rows]
    labels = data.targets[rows]
    recall = (
        np.bincount(labels, hits, 100)[members]
        / np.bincount(labels, minlength=100)[members]
    )
    return float(recall.mean())


def by_count(logits: np.ndarray, data: FeatureSet, counts: np.ndarray) -> list[float]:
    """Return the mean recall of the classes in each bin of training counts."""
    hits = logits.argmax(axis=1) == data.targets
    recall = np.bincount(data.targets, hits, 100) / np.bincount(data.targets)
    bins = np.digitize(counts, BINS[1:-1])
    return [float(recall[bins == b].mean()) for b in range(len(BINS) - 1)]


def separability(splits: dict[str, FeatureSet], counts: np.ndarray) -> dict[str, Any]:
    """Return accuracies of prototypes from both sources, over all and inside groups."""
    members = dict(shot_groups(counts).items())
    result = {}
    for source in ("train", "val"):
        logits = {
            split: prototype_logits(splits[source], splits[split])
            for split in ("train", "test")
        }
        result[source] = {
            **{s: groups_of(splits[s], one, counts) for s, one in logits.items()},
            "inside": {
                group: inside_group(logits["test"], splits["test"], mask)
                for group, mask in members.items()
            },
        }
    return result


def all_methods(
    name: str, splits: dict[str, FeatureSet], known: dict[str, Any]
) -> dict[str, Any]:
    """Compare the methods that are not known with the trained head, once per seed."""
    head = network(name).head
    methods = {m: e for m, e in methods_on(head).items() if m not in known}
    if not methods:
        return known
    # Gains are paired with the trained head, which is there in any case.
    methods = {TRAINED: methods_on(head)[TRAINED]} | methods
    rows: dict[str, Any] = {}
    for seed in SEEDS:
        result = compare(
            methods,
            splits["train"],
            splits["test"],
            reference=TRAINED,
            random_state=seed,
            n_replicates=1000 if seed == 0 else 0,
        )
        for method, evaluation in result.evaluations.items():
            row = rows.setdefault(method, {"seeds": []})
            row["seeds"].append([evaluation[group].value for group in GROUPS])
            if seed == 0:
                for group in ("few", "all"):
                    gain = result.difference(method)[group]
                    row[f"gain_{group}"] = [gain.value, gain.low, gain.high]
        print(f"{name}: seed {seed}", flush=True)
    if known and known[TRAINED] != rows[TRAINED]:
        raise SystemExit(f"the network of {name} is another one: measure with --all")
    return rows | known


def stored() -> dict[str, Any]:
    """Return the rows of methods that were measured before, by network."""
    path = RESULTS / "image_tables.json"
    return json.loads(path.read_text())["methods"] if path.exists() else {}


def main() -> None:
    """Measure everything; of the methods those alone that the results lack."""
    result: dict[str, Any] = {"groups": GROUPS, "n_epochs": N_EPOCHS, "bins": BINS}
    for key in ("classifier", "prototypes", "weight_by_count", "prototype_by_count"):
        result[key] = {}
    result["methods"] = {}
    for name in (f"{head}-{sampling}" for head in HEADS for sampling in SAMPLINGS):
        splits = features_of(name)
        counts = np.bincount(splits["train"].targets)
        test = splits["test"]
        logits = logits_of(network(name), test)
        result["classifier"][name] = groups_of(test, logits, counts)
        result["prototypes"][name] = separability(splits, counts)
        result["weight_by_count"][name] = by_count(logits, test, counts)
        cosines = prototype_logits(splits["train"], test)
        result["prototype_by_count"][name] = by_count(cosines, test, counts)
        if name in BASES:
            known = {} if "--all" in sys.argv else stored().get(name, {})
            result["methods"][name] = all_methods(name, splits, known)
    write("image_tables", result)
    print(pages(result))


def pages(result: dict[str, Any]) -> str:
    """Return the tables as they stand in docs/benchmarks.md."""
    classifier = _table(
        ["network", *GROUPS],
        [[name, *_percent(row)] for name, row in result["classifier"].items()],
    )
    over_all, inside = [], []
    for name, sources in result["prototypes"].items():
        for source, row in sources.items():
            cells = [*_percent(row["train"]), *_percent(row["test"])]
            over_all.append([name, source, *cells])
            groups = [row["inside"][group] for group in ("few", "medium", "many")]
            inside.append([name, source, *_percent(groups)])
    names = [f"{split} {group}" for split in ("train", "test") for group in GROUPS]
    bins = [f"{low} … {high - 1}" for low, high in itertools.pairwise(BINS)]
    counts = [
        [name, kind, *_percent(result[key][name])]
        for name in result["classifier"]
        for kind, key in (
            ("weights", "weight_by_count"),
            ("prototypes", "prototype_by_count"),
        )
    ]
    parts = {
        "Trained classifiers (CKT, table 4)": classifier,
        "Prototypes from training and validation features (CKT, figures 4 and 5)": (
            _table(["network", "source", *names], over_all)
        ),
        "Prototypes inside each group alone (CKT, table 5)": _table(
            ["network", "source", "few", "medium", "many"], inside
        ),
        "Weights and prototypes by training examples (CKT, figure 2)": _table(
            ["network", "kind", *bins], counts
        ),
    }
    for name, rows in result["methods"].items():
        parts[f"All methods on the features of {name}"] = _methods(rows)
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in parts.items())


def _methods(rows: dict[str, Any]) -> str:
    lines = []
    for method, row in rows.items():
        values = 100 * np.array(row["seeds"])
        mean, spread = values.mean(axis=0), values.std(axis=0)
        moved = spread.max() > 1e-9
        cells = [
            f"{m:.1f} ± {s:.1f}" if moved else f"{m:.1f}"
            for m, s in zip(mean, spread, strict=True)
        ]
        gains = [[100 * x for x in row[f"gain_{group}"]] for group in ("few", "all")]
        shown = [f"{v:+.1f} [{low:+.1f}, {high:+.1f}]" for v, low, high in gains]
        lines.append([method, *cells, *(["-", "-"] if method == TRAINED else shown)])
    head = [*GROUPS, "few - trained head, seed 0", "all - trained head, seed 0"]
    return _table(["method", *head], lines)


def _percent(values: list[float]) -> list[str]:
    return [f"{100 * value:.1f}" for value in values]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
