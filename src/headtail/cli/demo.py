"""``headtail demo``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import JsonOption, check_output, note, result
from headtail.demo import demo as run_demo
from headtail.demo import demo_images
from headtail.registry import recommended_method
from headtail.report import thumbnails, write_html
from headtail.workflow import report_of

__all__ = ["demo"]


def demo(
    seed: Annotated[int, typer.Option(help="Of images, training and heads.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the classes, in seconds.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Page to write, with pictures of the letters.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a small network on long-tailed letters, and compare every method on it.

    The letters are drawn from fonts, so that nothing is downloaded.

    Example: `headtail demo --report demo.html`
    """
    if report is not None:
        check_output(report, ".html", ".htm")
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
    if report is not None:
        found = report_of(comparison)
        pictures = thumbnails(found, demo_images(seed, quick=quick))
        write_html(found, report, pictures=pictures)
        note(f"Written to {report}.")
    result(text, comparison.as_json(), as_json)
