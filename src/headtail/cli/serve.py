"""``headtail serve``."""

import math
from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import naming, note

__all__ = ["serve"]


def serve(
    head: Annotated[Path, typer.Argument(help="Written by `headtail fit`.")],
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    journal: Annotated[
        Path | None,
        typer.Option(help="File that keeps the changes; default: HEAD.journal."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(help="Run of `headtail train`, to take images too."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="What clients must send; else HEADTAIL_TOKEN."),
    ] = None,
    max_body_mb: Annotated[float, typer.Option(help="Of a request, in MiB.")] = 16,
    max_batch: Annotated[int, typer.Option(help="Rows of a request.")] = 1024,
    rate: Annotated[
        float, typer.Option(help="Changes per minute and client; 0: no limit.")
    ] = 100,
    read_rate: Annotated[
        float, typer.Option(help="Other requests per minute and client; 0: no limit.")
    ] = 6000,
) -> None:
    """Answer predictions over HTTP; add and forget classes while it runs.

    Every change is on the disk before it is answered. A token is needed unless only
    this machine can ask. The page of the routes is at /docs.

    Example: `headtail serve head.safetensors`
    """
    # Of an extra: the other commands must do without.
    from headtail.serve import Limits, read_token
    from headtail.serve import serve as serve_head

    if not 0 < max_body_mb < math.inf:
        raise ValueError(
            f"--max-body-mb must be a number above 0; got {max_body_mb}. Leave it out "
            "for 16."
        )
    limits = Limits(
        max_body_bytes=int(max_body_mb * 2**20),
        max_batch=max_batch,
        rate=rate,
        read_rate=read_rate,
    )
    with naming(head):
        serve_head(
            head,
            host=host,
            port=port,
            journal=journal,
            network=network,
            token=read_token(token_file),
            limits=limits,
            ready=lambda address: note(f"Serving {head} on {address}"),
        )
