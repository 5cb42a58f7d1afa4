"""Bytes, operations and time of every step, measured and carried on to 10⁹ examples.

``python -m benchmarks scale`` measures the rate of every step at two sizes, checks what
those of the smaller foretell for the larger, and prints the tables of docs/scale.md.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.common import RESULTS, write
from headtail import CosineHead, FeatureSet, compose
from headtail.heads import EnsembleHead
from headtail.scale import gather_statistics

FEATURES, MEMBERS = 512, 3
SIZES = ((10**6, 10**3), (10**7, 10**4), (10**8, 10**5), (10**9, 10**6))
# One class in ten has more than 100 examples and gives.
DONORS = 0.1
DISK_BYTES = 2  # of a number in a shard: float16
NETWORK = 1.25e9  # bytes/s between two machines: 10 Gbit/s
MACHINES, FAN_IN = 100, 8
QUERIES = 1024
SHARD_ROWS = 8192  # as `headtail extract` writes them
REPEATS = 3


@dataclass(frozen=True)
class Step:
    """What a step reads or writes, and what it computes, for N examples, C classes."""

    name: str
    unit: str

    def work(self, n: float, c: float) -> float:
        """Return how much of its unit the step has to do."""
        return {
            EXTRACT: n,
            EPOCH: 6 * n * c * FEATURES,
            "statistics": n * FEATURES * DISK_BYTES,
            "merge two statistics": c * FEATURES * 2 * 8,
            "compose": MEMBERS * 4 * c * max(1, DONORS * c) * FEATURES,
            "save the head": MEMBERS * c * FEATURES * 4,
            f"predict {QUERIES:,}": MEMBERS * 2 * QUERIES * c * FEATURES,
        }[self.name]


STEPS = (
    Step("statistics", "B"),
    Step("merge two statistics", "B"),
    Step("compose", "FLOP"),
    Step("save the head", "B"),
    Step(f"predict {QUERIES:,}", "FLOP"),
)


# On paper alone: with the rate of the image benchmark, and with that of composing.
EXTRACT, EPOCH = "extract, ResNet-50", "an epoch of a linear head"
ON_PAPER = (Step(EXTRACT, " images"), *STEPS[:4], Step(EPOCH, "FLOP"), STEPS[4])


def measured(n: int, c: int) -> dict[str, float]:
    """Return the seconds of every step at a size that one machine does in minutes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(c, (n,), generator=generator)
    features = torch.randn(n, FEATURES, generator=generator).half()
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "features"
        shards.mkdir()
        names = [str(number) for number in range(c)]
        for part, start in enumerate(range(0, n, SHARD_ROWS)):
            rows = slice(start, start + SHARD_ROWS)
            shard = FeatureSet(features[rows], labels[rows], names)
            shard.save(shards / f"part-{part:05d}.safetensors")
        del features
        begin = time.perf_counter()
        statistics = gather_statistics(shards).statistics
        seconds["statistics"] = time.perf_counter() - begin
        other = statistics.copy()
        begin = time.perf_counter()
        statistics.merge(other)
        seconds["merge two statistics"] = time.perf_counter() - begin
        weight = torch.randn(c, FEATURES, generator=generator)
        donors = torch.arange(c) < max(1, DONORS * c)
        prototypes = torch.randn(c, FEATURES, generator=generator)
        begin = time.perf_counter()
        members = [compose(prototypes, weight, donors) for _ in range(MEMBERS)]
        seconds["compose"] = time.perf_counter() - begin
        head = EnsembleHead([CosineHead(one, 16.0) for one in members])
        begin = time.perf_counter()
        head.save(Path(folder) / "head.safetensors")
        seconds["save the head"] = time.perf_counter() - begin
        queries = torch.randn(QUERIES, FEATURES, generator=generator)
        begin = time.perf_counter()
        with torch.inference_mode():
            for part in queries.split(max(1, 2**24 // c)):
                head(part)
        seconds[f"predict {QUERIES:,}"] = time.perf_counter() - begin
    return seconds


def results() -> dict[str, Any]:
    """Measure rates at a size, and what those of a smaller one foretold for it."""
    small, large = (200_000, 10_000), (800_000, 40_000)
    measured(20_000, 1000)  # to warm up
    first, second = (
        {step.name: median(one[step.name] for one in runs) for step in STEPS}
        for runs in (
            [measured(*size) for _ in range(REPEATS)] for size in (small, large)
        )
    )
    before = {step.name: step.work(*small) / first[step.name] for step in STEPS}
    return {
        "sizes": [small, large],
        "rates": {
            **{step.name: step.work(*large) / second[step.name] for step in STEPS},
            EXTRACT: extracted_per_s(),
        },
        "check": {
            step.name: {
                "foretold_s": step.work(*large) / before[step.name],
                "measured_s": second[step.name],
            }
            for step in STEPS
        },
    }


def extracted_per_s() -> float:
    """Return the images per second that `image_speed` measured."""
    found = json.loads((RESULTS / "image_speed.json").read_text("utf-8"))
    return float(found["extract JPEGs, resnet50, 1 workers"]["images_per_s"])


def si(value: float, unit: str) -> str:
    """Write a number with a prefix of the SI.

    Examples
    --------
    >>> si(2.5e9, "B"), si(31.0, "s"), si(0.002, "s")
    ('2.5 GB', '31 s', '2.0 ms')
    """
    prefixes = (
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    )
    scaled, prefix = value, ""
    for size, letter in prefixes:
        if value >= size:
            scaled, prefix = value / size, letter
            break
    if value < 1:
        scaled, prefix = value * 1e3, "m"
    return (
        f"{scaled:.0f} {prefix}{unit}"
        if scaled >= 10
        else f"{scaled:.1f} {prefix}{unit}"
    )


def duration(seconds: float) -> str:
    """Write a time in the largest unit of which there is one.

    Examples
    --------
    >>> duration(0.4), duration(90), duration(7200), duration(10**6)
    ('400 ms', '1.5 min', '2.0 h', '12 days')
    """
    for size, name in (
        (86400 * 365, "years"),
        (86400, "days"),
        (3600, "h"),
        (60, "min"),
    ):
        if seconds >= size:
            value = seconds / size
            return f"{value:.0f} {name}" if value >= 10 else f"{value:.1f} {name}"
    return si(seconds, "s")


def on_one(step: Step, n: float, c: float, rate: float) -> float | None:
    """Return the seconds of a step on one machine, None where it has none."""
    return None if step.name == "merge two statistics" else step.work(n, c) / rate


def on_machines(step: Step, n: float, c: float, rate: float) -> float:
    """Return the seconds of a step on 100 machines."""
    if step.name in ("statistics", EXTRACT):
        return step.work(n, c) / rate / MACHINES
    if step.name == "merge two statistics":
        # Rounds of a tree: FAN_IN statistics come over the network and are added up.
        rounds, left = 0, MACHINES
        while left > 1:
            left, rounds = -(-left // FAN_IN), rounds + 1
        size = step.work(n, c)
        return rounds * FAN_IN * (size / NETWORK + size / rate)
    return step.work(n, c) / rate  # done by one


def tables(result: dict[str, Any]) -> list[str]:
    """Return the tables of docs/scale.md: what was measured, on paper, what is held."""
    rates = result["rates"]
    measured = ["| step | rate | foretold | measured | measured / foretold |"]
    measured.append("| --- | --- | --- | --- | --- |")
    for step in STEPS:
        row = result["check"][step.name]
        foretold, found = row["foretold_s"], row["measured_s"]
        measured.append(
            f"| {step.name} | {si(rates[step.name], step.unit)}/s | "
            f"{duration(foretold)} | {duration(found)} | {found / foretold:.2f} |"
        )
    paper = ["| examples, classes | step | work | 1 machine | 100 machines |"]
    paper.append("| --- | --- | --- | --- | --- |")
    held = ["| examples, classes | shards | statistics | head | labels |"]
    held.append("| --- | --- | --- | --- | --- |")
    for n, c in SIZES:
        for step in ON_PAPER:
            rate = rates["compose" if step.name == EPOCH else step.name]
            one, work = on_one(step, n, c, rate), si(step.work(n, c), step.unit)
            paper.append(
                f"| {n:.0e}, {c:.0e} | {step.name} | {work} | "
                f"{'-' if one is None else duration(one)} | "
                f"{duration(on_machines(step, n, c, rate))} |"
            )
        held.append(
            f"| {n:.0e}, {c:.0e} | {si(n * FEATURES * DISK_BYTES, 'B')} | "
            f"{si(c * FEATURES * 16, 'B')} | {si(MEMBERS * c * FEATURES * 4, 'B')} | "
            f"{si(8 * n, 'B')} |"
        )
    return ["\n".join(lines) for lines in (measured, paper, held)]


def main() -> None:
    """Measure, write, and print the tables."""
    write("scale", results())
    print(*tables(json.loads((RESULTS / "scale.json").read_text("utf-8"))), sep="\n\n")


if __name__ == "__main__":
    main()
