"""``headtail evaluate``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from headtail.cli.output import JsonOption, load_features, naming, result
from headtail.files import unchanged
from headtail.registry import load_classifier
from headtail.workflow import evaluate_classifier

__all__ = ["evaluate"]


def evaluate(
    head: Annotated[Path, typer.Argument(help="Written by `headtail fit`.")],
    features: Annotated[Path, typer.Argument(help="Test features with labels.")],
    convention: Annotated[
        Literal["decoupling", "ckt"],
        typer.Option(help="Shot groups: >100/20–100/<20, or ≥100/21–99/≤20."),  # noqa: RUF001
    ] = "decoupling",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a head per shot group, with bootstrap intervals.

    Example: `headtail evaluate head.safetensors test.npz --json`
    """
    classifier = load_classifier(head)
    with unchanged(features):
        data = load_features(str(features))
        with naming(head, features):
            evaluation = evaluate_classifier(
                classifier, data, convention=convention, seed=seed
            )
    result(evaluation.to_text(), evaluation.as_json(), as_json)
