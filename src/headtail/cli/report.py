"""``headtail report``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import check_output, naming, note
from headtail.datasets import load_images
from headtail.report import about, load_report, thumbnails, write_html

__all__ = ["report"]


def report(
    run: Annotated[
        Path, typer.Argument(help="Folder that `headtail compare -o` wrote.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.")],
    method: Annotated[
        str | None,
        typer.Option(help="What the answer is about; default: the recommended."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Training images, for pictures: folder, .npz or list .txt."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="What the paths of a list begin at.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the page.")] = None,
) -> None:
    """Write a comparison as one page that needs no network.

    Example: `headtail report run -o report.html`
    """
    check_output(output, ".html", ".htm")
    found = load_report(run)
    if method is not None:
        found = about(found, method)
    pictures = None
    if images is not None:
        with naming(images):
            pictures = thumbnails(found, load_images(images, root))
    write_html(found, output, pictures=pictures, title=title)
    note(found.answer)
    typer.echo(str(output))
