"""What the commands print: results to stdout, notes to stderr."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from headtail.features import FeatureSet

__all__ = [
    "JsonOption",
    "check_output",
    "load_features",
    "naming",
    "note",
    "read_setting",
    "result",
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def result(text: str, data: Any, as_json: bool) -> None:
    """Print the result as text, or the data behind it as JSON."""
    if as_json:
        text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
    typer.echo(text)


def note(text: str) -> None:
    """Print a note to stderr."""
    typer.echo(text, err=True)


def check_output(path: Path, *suffixes: str) -> None:
    """Refuse a file that cannot be written, before any work is done for it."""
    if suffixes and path.suffix not in suffixes:
        raise ValueError(
            f"{path} must end in one of {list(suffixes)}; got {path.suffix!r}."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} must exist; make it first.")


@contextmanager
def naming(*paths: Path | None) -> Iterator[None]:
    """Put the names of the files at hand before an error that does not name them."""
    names = [str(path) for path in paths if path is not None]
    try:
        yield
    except (ValueError, TypeError) as error:
        if any(name in str(error) for name in names):
            raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{' and '.join(names)}: {error}") from error


def load_features(path: str, *, labelled: bool = True) -> FeatureSet:
    """Load features; with `labelled`, refuse a file without labels by its name."""
    data = FeatureSet.load(path)
    if labelled and data.labels is None:
        raise ValueError(f"{path} must hold labels; add an array 'labels'.")
    return data


def read_setting(text: str) -> tuple[str, Any]:
    """Read name=value; the value is JSON if it can be, else text."""
    name, found, value = text.partition("=")
    if not found:
        raise ValueError(f"--set must be name=value; got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
