"""``headtail extract``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import JsonOption, note, result
from headtail.scale import extract_images
from headtail.training import build_backbone, load_run

__all__ = ["extract"]


def extract(
    source: Annotated[
        str, typer.Argument(help="A run's folder or network, or a backbone's name.")
    ],
    data: Annotated[
        str,
        typer.Argument(
            help="Folder of class folders, .npz, or list .txt; or a folder or address "
            "of .npz shards."
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="New folder, or its address.")
    ],
    weights: Annotated[
        str | None, typer.Option(help='Of a backbone by name: "hub", or a file.')
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="What the paths of a list begin at.")
    ] = None,
    views: Annotated[int, typer.Option(help="1, 2 (mirrored) or 10; averaged.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 256,
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = 1,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out files that are no image.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; else RAY_ADDRESS.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Extract features of images with a frozen backbone.

    Broken off and called again, it goes on after its last whole shard.

    Example: `headtail extract run images/train -o features`
    """
    if Path(source).exists():
        if weights is not None:
            raise ValueError("A run has its own weights; leave --weights out.")
        model = load_run(source)
        backbone, preprocessing = model.backbone, model.preprocessing
    elif Path(source).parent != Path():
        raise FileNotFoundError(
            f"{source} does not exist; give a run's folder, a network's file, or the "
            "name of a backbone."
        )
    else:
        backbone = build_backbone(source, weights=weights)
        preprocessing = backbone.preprocessing
        if weights is None:
            note(f"{source} has random weights: give --weights for trained ones.")
    done = extract_images(
        backbone,
        data,
        output,
        preprocessing=preprocessing,
        root=root,
        engine=engine,
        address=address,
        device=device,
        views=views,
        batch_size=batch_size,
        bf16=bf16,
        n_workers=workers,
        skip_damaged=skip_damaged,
    )
    if done.n_damaged:
        note(f"{done.n_damaged} damaged files left out.")
    note(f"{done.images_per_s:,.0f} images/s.")
    facts = {
        "folder": str(done.folder),
        "n_images": done.n_images,
        "n_damaged": done.n_damaged,
    }
    result(f"{done.folder}: {done.n_images} images", facts, as_json)
