"""``headtail compare``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from headtail.cli.output import (
    JsonOption,
    check_output,
    load_features,
    naming,
    note,
    result,
)
from headtail.files import check_new_folder, unchanged
from headtail.heads import load_head
from headtail.registry import METHODS, get_method
from headtail.report import write_html
from headtail.workflow import compare as compare_methods
from headtail.workflow import (
    methods_on,
    report_of,
    save_comparison,
)

__all__ = ["compare"]

_ALL = ",".join(row.name for row in METHODS)


def compare(
    train: Annotated[Path, typer.Argument(help="Training features with labels.")],
    test: Annotated[Path, typer.Argument(help="Test features with labels.")],
    methods: Annotated[
        str, typer.Option(help="Names from `headtail methods`, with commas between.")
    ] = _ALL,
    base: Annotated[
        Path | None,
        typer.Option(help="A trained head that is compared, and built on."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Compared with; default: the first.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New folder for tables and predictions."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Page to write, as `headtail report` does."),
    ] = None,
    convention: Annotated[
        Literal["decoupling", "ckt"], typer.Option(help="As in `headtail evaluate`.")
    ] = "decoupling",
    seed: Annotated[int, typer.Option(help="Of the fits and the bootstrap.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit several methods and compare them on a test set.

    Example: `headtail compare train.npz test.npz --methods cosine,compositional -o run`
    """
    if output is not None:
        check_new_folder(output)
    if report is not None:
        check_output(report, ".html", ".htm")
    names = [name.strip() for name in methods.split(",")]
    for name in names:
        get_method(name)
    with unchanged(train, test), naming(train, test, base):
        comparison = compare_methods(
            names if base is None else methods_on(load_head(base), names),
            load_features(str(train)),
            load_features(str(test)),
            reference=reference,
            convention=convention,
            random_state=seed,
        )
    if output is not None:
        save_comparison(comparison, output)
        note(f"Written to {output}.")
    if report is not None:
        write_html(report_of(comparison), report)
        note(f"Written to {report}.")
    result(comparison.to_text(), comparison.as_json(), as_json)
