"""``headtail statistics``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import JsonOption, check_output, result
from headtail.scale import gather_statistics
from headtail.statistics import save_statistics

__all__ = ["statistics"]


def statistics(
    features: Annotated[
        str, typer.Argument(help="Folder of shards or a file: path or address.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File .safetensors to write.")
    ],
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; else RAY_ADDRESS.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Add up counts and sums per class, one shard at a time.

    Shards may lie at an address such as s3://bucket/features, and be more than any
    machine holds.

    Example: `headtail statistics train.npz -o statistics.safetensors`
    """
    check_output(output, ".safetensors")
    found = gather_statistics(features, engine=engine, address=address)
    save_statistics(output, found.statistics, found.class_names)
    counts = found.statistics.class_counts
    facts = {
        "n_classes": found.statistics.n_classes,
        "n_features": found.statistics.n_features,
        "n_samples": int(counts.sum()),
        "n_empty_classes": int((counts == 0).sum()),
        "n_zero_rows": int(found.statistics.zero_counts.sum()),
    }
    text = "{n_samples} examples, {n_classes} classes, {n_features} features"
    result(f"{output}: {text.format(**facts)}", facts, as_json)
