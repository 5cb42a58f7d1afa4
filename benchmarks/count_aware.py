"""Count-aware transfer: against its rivals, with parts removed, and with small heads.

``python -m benchmarks count_aware`` measures what the results lack, and prints the
tables of the card, docs/methods/count-aware-transfer.md.
``python -m benchmarks.count_aware --all`` measures everything again.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, SETS, load, write
from headtail import CountAwareTransferClassifier, FeatureSet, evaluate
from headtail.evaluation import Evaluation
from headtail.evaluation.bootstrap import interval
from headtail.evaluation.metrics import FIGURES
from headtail.methods.transfer import _mixture_search
from headtail.methods.transfer._mixture import Mixture
from headtail.registry import get_method

SEEDS = range(5)
GROUPS = ("many", "medium", "few", "all")
OURS = "count-aware-transfer"
# The best other row on foreign and native; on plankton; and whose formula ours has.
RIVALS = ("ldam-drw", "over-sampling", "compositional")
CAPS = (100, 50)
SMALL_RIVALS = ("ldam-drw", "compositional")

Chosen = dict[str, Any]
# What is taken out of the mixture that was chosen, all else as it was.
REMOVED: dict[str, Callable[[Chosen], Chosen]] = {
    "linear member alone": lambda m: m | {"members": "linear"},
    "composed member alone": lambda m: m | {"members": "composed"},
    "both members": lambda m: m | {"members": "both"},
    "without transfer (a = 0)": lambda m: m | {"transfer": 0.0},
    "without prototypes (b = 0)": lambda m: m | {"prototype": 0.0},
    "a and b the same for every count": lambda m: m | {"half_count": 1e6},
    "without prior correction": lambda m: m | {"prior": 0.0},
    "the start of the search": lambda m: _mixture_search.UNKNOWN._asdict(),
}
# What needs another fit.
REFITTED: dict[str, dict[str, Any]] = {
    "without whitening": {"shrinkage": 1.0},
    "analytic shrinkage (OAS)": {"shrinkage": "auto"},
    "no limit to what the head loses": {"max_head_loss": 1.0},
}
# What needs other constants: every tail tells, however well it is recognised.
PATCHED: dict[str, tuple[str, Any]] = {
    "choosing on tails that are too easy": ("_TOO_EASY", 2.0),
    "without noise": ("MEMORISED", _mixture_search.MEMORISED._replace(noise=0.0)),
}


@contextmanager
def patched(name: str, value: Any, module: Any = _mixture_search) -> Iterator[None]:
    """Give a constant of a module, of the search if none is named, another value."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def fitted(train: FeatureSet, seed: int, **parameters: Any) -> Any:
    """Return a fitted classifier."""
    classifier = CountAwareTransferClassifier(random_state=seed, **parameters)
    return classifier.fit(train.features, train.targets)


def figures(
    train: FeatureSet, test: FeatureSet, classifier: Any, n_replicates: int = 0
) -> Evaluation:
    """Evaluate on the test split; every call draws the same replicates."""
    proba = classifier.predict_proba(test.features)
    counts = np.bincount(train.targets)
    return evaluate(test.targets, proba, counts, n_replicates=n_replicates)


def rivals(train: FeatureSet, test: FeatureSet) -> dict[str, Any]:
    """Return the groups of every seed per method, and ours minus it, paired."""
    found: dict[str, list[Evaluation]] = {}
    mixtures = []
    for name in (OURS, *RIVALS):
        for seed in SEEDS:
            classifier = get_method(name).build().set_params(random_state=seed)
            classifier.fit(train.features, train.targets)
            found.setdefault(name, []).append(figures(train, test, classifier, 1000))
            if name == OURS:
                mixtures.append(dict(classifier.mixture_))
    rows: dict[str, Any] = {
        name: {"seeds": [groups_of(e) for e in found[name]]} for name in found
    }
    rows[OURS]["mixtures"] = mixtures
    for name in RIVALS:
        pairs = list(zip(found[OURS], found[name], strict=True))
        # The mean over the seeds, on the same resampled test examples.
        ends = interval(np.mean([a.replicates - b.replicates for a, b in pairs], 0))
        rows[name]["ours_minus_it"] = {
            group: [
                float(np.mean([a[group].value - b[group].value for a, b in pairs])),
                *ends[FIGURES.index(group)].tolist(),
            ]
            for group in ("few", "all")
        }
    return rows


def groups_of(evaluation: Evaluation) -> list[float]:
    return [evaluation[group].value for group in GROUPS]


def ablation(
    train: FeatureSet, test: FeatureSet, known: dict[str, Any]
) -> dict[str, list[list[float]]]:
    """Return groups of every seed per variant: those that are not known, and those."""
    rows: dict[str, list[list[float]]] = {}

    def record(name: str, classifier: Any) -> None:
        rows.setdefault(name, []).append(groups_of(figures(train, test, classifier)))

    for seed in SEEDS:
        removed = {"as chosen": lambda m: m, **REMOVED}
        removed = {k: change for k, change in removed.items() if k not in known}
        if removed:
            classifier = fitted(train, seed)
            chosen = dict(classifier.mixture_)
        for name, change in removed.items():
            classifier.mixture_ = change(chosen)
            classifier._compose_head()
            record(name, classifier)
        for name, parameters in REFITTED.items():
            if name not in known:
                record(name, fitted(train, seed, **parameters))
        for name, (constant, value) in PATCHED.items():
            if name not in known:
                with patched(constant, value):
                    record(name, fitted(train, seed))
    return known | rows


def capped(train: FeatureSet, most: int) -> FeatureSet:
    """Return the first `most` examples of every class."""
    order = np.argsort(train.targets, kind="stable")
    counts = np.bincount(train.targets)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return train.subset(np.sort(order[rank < most]))


def small_heads(train: FeatureSet, test: FeatureSet) -> dict[str, Any]:
    """Return all-class accuracy where no class has more than `CAPS` examples."""
    rows: dict[str, Any] = {}
    for most in CAPS:
        part = capped(train, most)
        for name in (OURS, *SMALL_RIVALS):
            values = []
            for seed in SEEDS:
                classifier = get_method(name).build().set_params(random_state=seed)
                classifier.fit(part.features, part.targets)
                values.append(figures(part, test, classifier)["all"].value)
            rows.setdefault(str(most), {})[name] = values
    return rows


def table(names: list[str], rows: dict[str, list[list[float]]], first: str) -> str:
    """Return a Markdown table of mean ± standard deviation over seeds, in percent."""
    lines = [f"| {first} | {' | '.join(GROUPS)} |", "|---|---|---|---|---|"]
    for name in names:
        values = 100 * np.array(rows[name])
        cells = [
            f"{m:.1f} ± {s:.1f}"
            for m, s in zip(values.mean(axis=0), values.std(axis=0), strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rival_table(sets: dict[str, Any]) -> str:
    """Return ours minus every rival, few-shot and all classes, as Markdown."""
    lines = [
        "| set | rival | few: ours - rival | all: ours - rival |",
        "|---|---|---|---|",
    ]
    for name in SETS:
        rows = sets[name]
        for rival in RIVALS:
            gaps = rows[rival]["ours_minus_it"]
            cells = []
            for group in ("few", "all"):
                value, low, high = (100 * end for end in gaps[group])
                cells.append(f"{value:+.1f} [{low:+.1f}, {high:+.1f}]")
            lines.append(f"| {name} | {rival} | {' | '.join(cells)} |")
    return "\n".join(lines)


def small_table(sets: dict[str, Any]) -> str:
    """Return all-class accuracy with small heads as Markdown."""
    lines = [
        f"| set | at most | {' | '.join((OURS, *SMALL_RIVALS))} |",
        "|---|---|" + "---|" * (1 + len(SMALL_RIVALS)),
    ]
    for name in SETS:
        for most in CAPS:
            rows = sets[name][str(most)]
            means = [f"{100 * np.mean(rows[m]):.1f}" for m in (OURS, *SMALL_RIVALS)]
            lines.append(f"| {name} | {most} | {' | '.join(means)} |")
    return "\n".join(lines)


def chosen_table(sets: dict[str, Any]) -> str:
    """Return what every seed chose, as Markdown."""
    names = [name for name in Mixture._fields if name != "noise"]
    lines = [f"| set | seed | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for name in SETS:
        for seed, mixture in zip(SEEDS, sets[name][OURS]["mixtures"], strict=True):
            cells = [f"{mixture[key]:g}" for key in names[1:]]
            cells = [mixture["members"], *cells]
            lines.append(f"| {name} | {seed} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pages(result: dict[str, Any]) -> str:
    """Return the tables of the card."""
    parts = [rival_table(result["rivals"]), chosen_table(result["rivals"])]
    for name in SETS:
        rows = result["ablation"][name]
        variants = ["as chosen", *REMOVED, *REFITTED, *PATCHED]
        parts += [f"### {name} ({SETS[name]})", table(variants, rows, "variant")]
    return "\n\n".join([*parts, small_table(result["small_heads"])])


def stored() -> dict[str, Any]:
    """Return what was measured before."""
    path = RESULTS / "count_aware.json"
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    """Measure what is lacking, and print the tables."""
    result = {} if "--all" in sys.argv else stored()
    result |= {"groups": GROUPS, "seeds": list(SEEDS)}
    for part in ("rivals", "ablation", "small_heads"):
        result.setdefault(part, {})
    for name in SETS:
        train, test = load(name, "train"), load(name, "test")
        known = result["ablation"].get(name, {})
        result["ablation"][name] = ablation(train, test, known)
        if name not in result["small_heads"]:
            result["small_heads"][name] = small_heads(train, test)
        if name not in result["rivals"]:
            result["rivals"][name] = rivals(train, test)
        write("count_aware", result)
        print(f"{name}: measured", flush=True)
    print(pages(result))


if __name__ == "__main__":
    main()
