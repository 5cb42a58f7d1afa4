"""``headtail figures``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.report import about, load_report, write_figures

__all__ = ["figures"]


def figures(
    run: Annotated[
        Path, typer.Argument(help="Folder that `headtail compare -o` wrote.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder.")],
    method: Annotated[
        str | None,
        typer.Option(help="Shown beside the reference; default: the recommended."),
    ] = None,
) -> None:
    """Draw the plots of a report as PDF and PNG, for a paper.

    Example: `headtail figures run -o figures`
    """
    found = load_report(run)
    if method is not None:
        found = about(found, method)
    for path in write_figures(found, output):
        typer.echo(str(path))
