"""What the commands print: results to stdout, notes to stderr."""

import json
from typing import Annotated, Any

import typer

from headtail.features import FeatureSet

__all__ = ["JsonOption", "load_features", "note", "result"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def result(text: str, data: Any, as_json: bool) -> None:
    """Print the result as text, or the data behind it as JSON."""
    if as_json:
        text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
    typer.echo(text)


def note(text: str) -> None:
    """Print a note to stderr."""
    typer.echo(text, err=True)


def load_features(path: str, *, labelled: bool = True) -> FeatureSet:
    """Load features; with `labelled`, refuse a file without labels by its name."""
    data = FeatureSet.load(path)
    if labelled and data.labels is None:
        raise ValueError(f"{path} must hold labels; add an array 'labels'.")
    return data
