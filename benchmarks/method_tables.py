"""All methods of the registry on the three shared sets, five seeds: docs/benchmarks.md.

``python -m benchmarks method_tables`` measures the rows that the results lack, and
prints the tables. ``python -m benchmarks.method_tables --all [SET ...]`` measures
every row again, of these sets alone if any are named.
"""

import json
import sys
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, SETS, load, write
from headtail import compare
from headtail.registry import METHODS

SEEDS = range(5)
GROUPS = ("many", "medium", "few", "all")
REFERENCE = "linear"


def measure(name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Compare the methods that are not known once per seed; intervals of seed 0."""
    missing = [row.name for row in METHODS if row.name not in known]
    if not missing:
        return known
    train, test = load(name, "train"), load(name, "test")
    # Gains are paired with the reference, which is fitted again if it is known.
    rows: dict[str, Any] = {
        row: {"seeds": []} for row in {REFERENCE: 0} | dict.fromkeys(missing)
    }
    for seed in SEEDS:
        result = compare(
            list(rows),
            train,
            test,
            reference=REFERENCE,
            random_state=seed,
            n_replicates=1000 if seed == 0 else 0,
        )
        for method, evaluation in result.evaluations.items():
            values = [evaluation[group].value for group in GROUPS]
            rows[method]["seeds"].append(values)
            if seed == 0:
                figure = evaluation["all"]
                rows[method]["interval"] = [figure.low, figure.high]
            if seed == 0 and method != REFERENCE:
                gain = result.difference(method)["all"]
                rows[method]["gain"] = [gain.value, gain.low, gain.high]
        print(f"{name}: seed {seed}", flush=True)
    return rows | known


def table(rows: dict[str, Any]) -> str:
    """Return a Markdown table, in percent."""
    lines = [
        "| method | many | medium | few | all | all, seed 0 | all - linear, seed 0 |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in (row.name for row in METHODS):
        row = rows[method]
        values = 100 * np.array(row["seeds"])
        mean, spread = values.mean(axis=0), values.std(axis=0)
        moved = spread.max() > 1e-9
        cells = [
            f"{m:.1f} ± {s:.1f}" if moved else f"{m:.1f}"
            for m, s in zip(mean, spread, strict=True)
        ]
        low, high = (100 * end for end in row["interval"])
        gain = "-"
        if "gain" in row:
            value, least, most = (100 * end for end in row["gain"])
            gain = f"{value:+.1f} [{least:+.1f}, {most:+.1f}]"
        cells += [f"[{low:.1f}, {high:.1f}]", gain]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pages(tables: dict[str, Any]) -> str:
    """Return the tables of all sets, as they stand in docs/benchmarks.md."""
    return "\n\n".join(
        f"### {name} ({SETS[name]})\n\n{table(rows)}" for name, rows in tables.items()
    )


def stored() -> dict[str, Any]:
    """Return the tables that were measured before."""
    path = RESULTS / "method_tables.json"
    return json.loads(path.read_text())["tables"] if path.exists() else {}


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--all"]
    for name in names or SETS:
        known = {} if "--all" in sys.argv else stored().get(name, {})
        rows = measure(name, known)
        tables = stored() | {name: rows}
        tables = {name: tables[name] for name in SETS if name in tables}
        write(
            "method_tables", {"groups": GROUPS, "seeds": list(SEEDS), "tables": tables}
        )
    shown = {name: stored()[name] for name in names or SETS}
    print(pages(shown))


if __name__ == "__main__":
    main()
