"""``headtail demo``."""

from typing import Annotated

import typer

from headtail.cli.output import JsonOption, note, result
from headtail.demo import demo as run_demo
from headtail.registry import recommended_method

__all__ = ["demo"]


def demo(
    seed: Annotated[int, typer.Option(help="Of the data, the network, the heads.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare every method on long-tailed handwritten digits, without a network.

    Example: `headtail demo`
    """
    note("Training a small network on long-tailed digits (120 zeros … 3 nines).")
    comparison = run_demo(seed)
    method = recommended_method().name
    gap = comparison.difference(method)
    before = comparison.evaluations[comparison.reference]["few"].percent()
    after = comparison.evaluations[method]["few"].percent()
    sentence = (
        f"{method} against the trained {comparison.reference} head: few-shot accuracy "
        f"{before} → {after} %, all classes {gap['all'].percent('+')} points "
        f"{gap['all'].percent_interval('+')}."
    )
    text = (
        "Accuracy in % with 95 % bootstrap intervals\n\n"
        f"{comparison.to_text()}\n\n{sentence}"
    )
    result(text, comparison.as_json(), as_json)
