"""``headtail predict``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import check_output, load_features, naming
from headtail.files import unchanged
from headtail.registry import load_classifier
from headtail.workflow import predict_features

__all__ = ["predict"]


def predict(
    head: Annotated[Path, typer.Argument(help="Written by `headtail fit`.")],
    features: Annotated[Path, typer.Argument(help="Features; labels are optional.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, .csv or .npz.")
    ],
) -> None:
    """Predict labels, probabilities and the five best classes.

    Example: `headtail predict head.safetensors test.npz -o predictions.csv`
    """
    check_output(output, ".csv", ".npz")
    classifier = load_classifier(head)
    with unchanged(features):
        data = load_features(str(features), labelled=False)
        with naming(head, features):
            predictions = predict_features(classifier, data)
    predictions.save(output)
    typer.echo(str(output))
