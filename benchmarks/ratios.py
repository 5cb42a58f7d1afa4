"""All ratios of the project in one table; `make bench` ends with it."""

import json
from dataclasses import dataclass
from typing import Any

from benchmarks.common import RESULTS


@dataclass(frozen=True)
class Ratio:
    """One line: what it is, where it is measured, and what was aimed at.

    Attributes
    ----------
    what
        In words; numerator and denominator are measured in one run.
    benchmark
        Name of the benchmark, and of its result file.
    path
        Keys in the file, from the outside in.
    bound
        What was aimed at; None where nothing was.
    at_most
        Whether the bound is from above.
    """

    what: str
    benchmark: str
    path: tuple[Any, ...]
    bound: float | None = None
    at_most: bool = True

    def value(self) -> float | None:
        """Return what was measured last; None if it never was."""
        file = RESULTS / f"{self.benchmark}.json"
        if not file.exists():
            return None
        found = json.loads(file.read_text("utf-8"))
        for key in self.path:
            found = found[key]
        return float(found)


RATIOS = (
    Ratio(
        "statistics / one pass that reads",
        "statistics_speed",
        ("statistics_over_read",),
        6,
    ),
    Ratio(
        "NearestCentroid.fit / statistics",
        "statistics_speed",
        ("nearest_centroid_over_statistics",),
        10,
        at_most=False,
    ),
    Ratio(
        "compose and predict / matrix products",
        "compositional_speed",
        ("fit_and_predict_over_products",),
        2,
    ),
    Ratio(
        "compose 100,000 classes / matrix products",
        "many_classes",
        ("compose_over_products",),
    ),
    Ratio(
        "cRT's rate / that of its products",
        "decoupled_speed",
        ("crt", "share_of_product_rate"),
        0.6,
        at_most=False,
    ),
    Ratio(
        "grid of 21 τ / one evaluation",
        "decoupled_speed",
        ("tau_grid", "grid_over_one_evaluation"),
        2,
    ),
    Ratio(
        "search of 20 τ / fit and scoring",
        "search_speed",
        ("TauNormalizedClassifier", "search_over_fit_and_scoring"),
        3,
    ),
    Ratio(
        "search of 20 shifts / fit and scoring",
        "search_speed",
        ("LogitAdjustedClassifier", "search_over_fit_and_scoring"),
        3,
    ),
    Ratio(
        "20 scorings of compositional transfer / products",
        "search_speed",
        ("CompositionalClassifier", "scorings_over_products"),
        1.5,
    ),
    Ratio(
        "loop over classes / AlphaNet's epoch",
        "learned_speed",
        ("alphanet", "loop_over_ours"),
        10,
        at_most=False,
    ),
    Ratio(
        "scikit-learn's softmax model of 1 shots / one of the bank",
        "learned_speed",
        ("bank", 0, "default", "over_ours"),
        30,
        at_most=False,
    ),
    Ratio(
        "scikit-learn's softmax model of 4 shots / one of the bank",
        "learned_speed",
        ("bank", 1, "default", "over_ours"),
        30,
        at_most=False,
    ),
    Ratio(
        "scikit-learn's ridge model of 1 shots / one of the bank",
        "learned_speed",
        ("bank", 2, "default", "over_ours"),
        3,
        at_most=False,
    ),
    Ratio(
        "scikit-learn's ridge model of 4 shots / one of the bank",
        "learned_speed",
        ("bank", 3, "default", "over_ours"),
        3,
        at_most=False,
    ),
    Ratio(
        "fit of count-aware transfer / covariance products",
        "count_aware_speed",
        ("fit_over_products",),
        3,
    ),
    Ratio(
        "training's rate / a plain loop on ready tensors",
        "image_speed",
        ("train, resnet32", "rate_ratio"),
    ),
    Ratio(
        "extraction's rate / forward passes, arrays",
        "image_speed",
        ("extract arrays, resnet32", "rate_ratio"),
    ),
    Ratio(
        "extraction's rate / forward passes, JPEGs",
        "image_speed",
        ("extract JPEGs, resnet50, 1 workers", "rate_ratio"),
    ),
    Ratio(
        "rate of two processes (torchrun) / one",
        "torchrun_training",
        ("ratio",),
    ),
    Ratio(
        "statistics on Ray (3 nodes, 2 cores) / local, time",
        "ray_engine",
        ("statistics", "ray_over_local"),
    ),
    Ratio(
        "extraction on Ray (3 nodes, 2 cores) / local, time",
        "ray_engine",
        ("extraction", "ray_over_local"),
    ),
    Ratio(
        "statistics on Ray with a node killed / none, time",
        "ray_engine",
        ("statistics", "killed_over_ray"),
    ),
    Ratio(
        "extraction on Ray with a node killed / none, time",
        "ray_engine",
        ("extraction", "killed_over_ray"),
    ),
    Ratio(
        "ncm from shards / from memory, time",
        "out_of_core",
        ("fits", "ncm", "mixed: ratio to memory"),
    ),
    Ratio(
        "linear from shards / from memory, time",
        "out_of_core",
        ("fits", "linear, 2 epochs", "mixed: ratio to memory"),
    ),
)


def verdict(ratio: Ratio, value: float | None) -> str:
    """Tell whether the bound holds.

    Examples
    --------
    >>> ratio = Ratio("a / b", "none", (), bound=2)
    >>> verdict(ratio, 1.9), verdict(ratio, 2.1), verdict(ratio, None)
    ('met', 'missed', 'not measured')
    """
    if value is None:
        return "not measured"
    if ratio.bound is None:
        return ""
    met = value <= ratio.bound if ratio.at_most else value >= ratio.bound
    return "met" if met else "missed"


def table() -> str:
    """Return the table as Markdown."""
    lines = [
        "| ratio | measured | aim | | benchmark |",
        "| --- | --- | --- | --- | --- |",
    ]
    for ratio in RATIOS:
        value = ratio.value()
        shown = "-" if value is None else f"{value:.3g}"
        sign = "at most" if ratio.at_most else "at least"
        bound = "-" if ratio.bound is None else f"{sign} {ratio.bound:g}"
        lines.append(
            f"| {ratio.what} | {shown} | {bound} | {verdict(ratio, value)} "
            f"| {ratio.benchmark} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
