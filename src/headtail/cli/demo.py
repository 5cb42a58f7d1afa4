"""``headtail demo``."""

from typing import Annotated

import typer

from headtail.cli.output import JsonOption, note, result
from headtail.demo import demo as run_demo
from headtail.registry import recommended_method

__all__ = ["demo"]


def demo(
    seed: Annotated[int, typer.Option(help="Of images, training and heads.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the classes, in seconds.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a small network on long-tailed letters, and compare every method on it.

    The letters are drawn from fonts, so that nothing is downloaded.

    Example: `headtail demo`
    """
    note("Drawing letters and training a ResNet-20 with a cosine head on them.")
    comparison = run_demo(seed, quick=quick)
    method = recommended_method().name
    gap = comparison.difference(method)
    sentence = (
        f"{method} against the {comparison.reference}: "
        f"few-shot classes {gap['few'].percent('+')} points "
        f"{gap['few'].percent_interval('+')}, all classes {gap['all'].percent('+')} "
        f"{gap['all'].percent_interval('+')}."
    )
    text = (
        "Accuracy in % with 95 % bootstrap intervals\n\n"
        f"{comparison.to_text()}\n\n{sentence}"
    )
    result(text, comparison.as_json(), as_json)
