"""The constants of count-aware transfer, one changed at a time, on validation data.

``python -m benchmarks count_aware_choices``: the validation splits of the three shared
sets, and development sets that are none of them: networks trained on letters of
`headtail.datasets.glyphs`, and those of `image_backbones` where they are there. Test
data are not read.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.common import SETS, load, write
from benchmarks.count_aware import patched
from benchmarks.image_backbones import RUNS
from headtail import CountAwareTransferClassifier, FeatureSet, evaluate
from headtail.demo import Size, letters, trained_network
from headtail.features import extract
from headtail.methods.transfer import _balanced_training, _mixture_search

SEEDS = range(2)
GROUPS = ("many", "medium", "few", "all")
_KNOWN = _mixture_search.MEMORISED
# Hard letters, other classes and counts than the demonstration's.
LETTERS = {
    "letters-120": (Size(120, 200, 60, 1, 0.85, 64, 15), 7),
    "letters-150": (Size(150, 120, 40, 1, 1.0, 64, 20), 22),
}
NETWORKS = ("cosine-sqrt", "linear-instance")

Variant = tuple[dict[str, Any], list[tuple[Any, str, Any]]]
VARIANTS: dict[str, Variant] = {
    "defaults": ({}, []),
    **{f"shrinkage {s}": ({"shrinkage": s}, []) for s in (0.1, 0.3, 0.6, 0.9, 1.0)},
    **{f"max_head_loss {m}": ({"max_head_loss": m}, []) for m in (0.05, 0.1, 1.0)},
    **{f"rate {r:g}": ({}, [(_balanced_training, "_RATE", r)]) for r in (10.0, 40.0)},
    "up to 15 epochs": (
        {},
        [
            (_balanced_training, "_MOST_EPOCHS", 15),
            (_balanced_training, "_MOST_SHOWN", 2**18),
        ],
    ),
    **{
        f"memorised: prior {p}": (
            {},
            [(_mixture_search, "MEMORISED", _KNOWN._replace(prior=p))],
        )
        for p in (0.0, 0.125, 0.375)
    },
    "memorised: both members": (
        {},
        [(_mixture_search, "MEMORISED", _KNOWN._replace(members="both"))],
    ),
    "memorised: without transfer": (
        {},
        [(_mixture_search, "MEMORISED", _KNOWN._replace(transfer=0.0))],
    ),
    "memorised: without noise": (
        {},
        [(_mixture_search, "MEMORISED", _KNOWN._replace(noise=0.0))],
    ),
    "every tail tells": ({}, [(_mixture_search, "_TOO_EASY", 2.0)]),
}


def development_sets() -> Iterator[tuple[str, FeatureSet, FeatureSet]]:
    """Yield names, training and validation features."""
    for name in SETS:
        yield name, load(name, "train"), load(name, "val")
    for name, (size, seed) in LETTERS.items():
        data = letters(size, seed, n_validation=50)
        model, _ = trained_network(data.train, size, seed)
        train, validation = (
            extract(model.backbone, part, preprocessing=model.preprocessing)
            for part in (data.train, data.validation)
        )
        yield name, train, validation
    for name in NETWORKS:
        if (RUNS / f"resnet32-{name}-0" / "last.safetensors").exists():
            from benchmarks.image_tables import features_of

            splits = features_of(name, ("train", "val"))
            yield f"images-{name}", splits["train"], splits["val"]


def measure(train: FeatureSet, validation: FeatureSet) -> dict[str, list[float]]:
    """Return per variant the mean over seeds of every group, on validation data."""
    counts = np.bincount(train.targets)
    rows = {}
    for name, (parameters, constants) in VARIANTS.items():
        found = []
        for seed in SEEDS:
            with ExitStack() as stack:
                for module, constant, value in constants:
                    stack.enter_context(patched(constant, value, module))
                classifier = CountAwareTransferClassifier(
                    random_state=seed, **parameters
                ).fit(train.features, train.targets)
            proba = classifier.predict_proba(validation.features)
            result = evaluate(validation.targets, proba, counts, n_replicates=0)
            found.append([result[g].value for g in GROUPS])
        rows[name] = np.mean(found, axis=0).tolist()
    return rows


def table(sets: dict[str, dict[str, list[float]]]) -> str:
    """Return accuracy over all classes (few-shot classes) in percent, as Markdown."""
    names = [*SETS, *LETTERS, *(f"images-{name}" for name in NETWORKS)]
    sets = {name: sets[name] for name in names if name in sets}
    lines = [
        f"| variant | {' | '.join(sets)} |",
        "|---|" + "---|" * len(sets),
    ]
    for name in VARIANTS:
        cells = [
            f"{100 * rows[name][3]:.1f} ({100 * rows[name][2]:.0f})"
            for rows in sets.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print everything."""
    sets = {}
    for name, train, validation in development_sets():
        sets[name] = measure(train, validation)
        print(f"{name}: measured", flush=True)
    write("count_aware_choices", {"groups": GROUPS, "seeds": list(SEEDS), "sets": sets})
    print(table(sets))


if __name__ == "__main__":
    main()
