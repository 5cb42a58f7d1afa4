"""What the functions of `headtail.analysis` return, each drawn into axes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from headtail.analysis import (
    AttendedSimilarity,
    PrototypeAccuracy,
    PrototypeWeightMatch,
    Sweep,
    TrajectoryMap,
    WeightNorms,
)
from headtail.report import colors

__all__ = [
    "draw_attended_similarity",
    "draw_prototype_accuracy",
    "draw_sharpness",
    "draw_sweep",
    "draw_trajectories",
    "draw_weight_norms",
]


def draw_prototype_accuracy(axes: Axes, result: PrototypeAccuracy) -> None:
    """Draw bars of every group for each source and target (CKT figures 4 and 5).

    Pale parts are what is gained where only the group's own prototypes compete.
    """
    pairs = [
        (s, t) for s in range(len(result.sources)) for t in range(len(result.targets))
    ]
    for column, group in enumerate(result.groups):
        where = np.arange(len(pairs)) + 0.2 * (column - 1.5)
        overall = [100 * result.accuracy[pair][column] for pair in pairs]
        within = [100 * result.within_accuracy[pair][column] for pair in pairs]
        axes.bar(where, within, 0.19, color=colors.GROUPS[group], alpha=0.35)
        axes.bar(where, overall, 0.19, color=colors.GROUPS[group], label=group)
    labels = [f"{result.sources[s]} →\n{result.targets[t]}" for s, t in pairs]
    axes.set_xticks(range(len(pairs)), labels)
    axes.set_ylabel("accuracy in %")
    axes.legend(
        ncols=len(result.groups), loc="upper center", bbox_to_anchor=(0.5, 1.14)
    )


def draw_sharpness(axes: Axes, results: Mapping[str, PrototypeWeightMatch]) -> None:
    """Draw the sorted cosines of prototypes to weights (CKT supplement, figure 4)."""
    for name, result in results.items():
        ranks = np.arange(1, len(result.sharpness) + 1)
        label = f"{name}: {result.n_mismatched} of {result.n_compared} mismatched"
        axes.plot(ranks, result.sharpness, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("rank of the weight")
    axes.set_ylabel("cosine with the prototype")
    axes.legend()


def draw_attended_similarity(axes: Axes, result: AttendedSimilarity) -> None:
    """Draw how related attended classes are, by rank (CKT supplement, figure 3).

    A rank at which most classes stand themselves is left out: its mean is of the few
    others.
    """
    ranks = np.arange(1, len(result.mean_similarity) + 1)
    told = 2 * result.n_similarity > len(result.chance)
    axes.plot(
        ranks,
        np.where(told, result.mean_similarity, np.nan),
        "o-",
        color=colors.AFTER,
        label="attended",
    )
    axes.axhline(result.mean_chance, color="0.5", linestyle=":", label="any class")
    axes.set_xlabel("rank of the class by attention")
    axes.set_ylabel("Leacock-Chodorow similarity")
    axes.legend()


def draw_weight_norms(axes: Axes, results: Mapping[str, WeightNorms]) -> None:
    """Draw lengths of weights by training examples.

    Raises
    ------
    ValueError
        If a result has no counts.
    """
    for name, result in results.items():
        if result.class_counts is None:
            raise ValueError(
                f"class_counts must be known to draw lengths by them; those of {name} "
                "are not. Pass class_counts to weight_norms."
            )
        label = f"{name} (rank correlation {result.rank_correlation:+.2f})"
        axes.plot(result.class_counts, result.norms, ".", label=label, alpha=0.7)
    axes.set_xscale("log")
    axes.set_xlabel("training examples")
    axes.set_ylabel("length of the weight")
    axes.legend()


def draw_sweep(axes: Axes, result: Sweep) -> None:
    """Draw the accuracy of every group as a parameter moves (AlphaNet figure 6)."""
    for column, group in enumerate(result.groups):
        shade = colors.GROUPS[group]
        axes.plot(
            result.values,
            100 * result.accuracy[:, column],
            "o-",
            color=shade,
            label=group,
        )
        axes.axhline(
            100 * result.base_accuracy[column],
            color=shade,
            linestyle=":",
            linewidth=0.9,
        )
    axes.set_xlabel(result.parameter.replace("_", " "))
    axes.set_ylabel("accuracy in % (dotted: base)")
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.14))


def draw_trajectories(axes: Axes, result: TrajectoryMap) -> None:
    """Draw weights on their way from few-shot to many-shot (MetaModelNet figure 4)."""
    for label in dict.fromkeys(result.labels.tolist()):
        rows = result.labels == label
        x, y = result.coordinates[rows].T
        axes.plot(x, y, "-", color="0.6", linewidth=0.8)
        steps = axes.scatter(
            x,
            y,
            18,
            result.steps[rows],
            cmap="viridis",
            vmin=0,
            vmax=int(result.steps.max()),
            zorder=2,
        )
        axes.annotate(str(label).replace("$", r"\$"), (x[-1], y[-1]), fontsize=7)
    figure = axes.get_figure()
    if figure is not None and len(result.labels):
        figure.colorbar(steps, ax=axes, label="blocks passed")
    axes.set_xticks([])
    axes.set_yticks([])
