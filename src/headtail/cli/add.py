"""``headtail add``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import check_output, load_features, naming, note
from headtail.files import only_writer, unchanged
from headtail.registry import load_classifier
from headtail.workflow import add_examples

__all__ = ["add"]


def add(
    head: Annotated[Path, typer.Argument(help="Written by `headtail fit`.")],
    features: Annotated[Path, typer.Argument(help="Examples with labels.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
) -> None:
    """Add examples and new classes to a head, without training.

    No other `add` or `fit` can write the output meanwhile.

    Example: `headtail add head.safetensors new.npz -o larger.safetensors`
    """
    check_output(output)
    with only_writer(output):
        classifier = load_classifier(head)
        with unchanged(features):
            data = load_features(str(features))
            with naming(head, features):
                names = add_examples(classifier, data)
        classifier.save_classifier(output)
    new = f" ({', '.join(names)})" if names else ""
    note(f"{len(data)} examples added, {len(names)} new classes{new}.")
    typer.echo(str(output))
