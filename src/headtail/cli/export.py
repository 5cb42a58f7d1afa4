"""``headtail export``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import check_output, naming
from headtail.export import FORMATS, export_file

__all__ = ["export"]


def export(
    head: Annotated[Path, typer.Argument(help="A head, a classifier, or a run.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File: .onnx, .pt or .safetensors."),
    ],
    format: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(FORMATS)}; default: that of the suffix."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Pixels, for a network that takes images of any size."),
    ] = None,
) -> None:
    """Write a head or a network for programs that do not have headtail.

    Example: `headtail export head.safetensors -o head.onnx`
    """
    check_output(output)
    with naming(head):
        export_file(head, output, format=format, image_size=image_size)
    typer.echo(str(output))
