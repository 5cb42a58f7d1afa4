"""``headtail train``."""

from pathlib import Path
from typing import Annotated

import typer

from headtail.cli.output import JsonOption, note, read_setting, result
from headtail.datasets import load_splits
from headtail.training import load_recipe, make_fabric
from headtail.workflow import run_recipe

__all__ = ["train"]


def train(
    recipe: Annotated[
        str,
        typer.Option(help="Name of a recipe (`headtail recipes`), or a .toml file."),
    ],
    data: Annotated[
        str, typer.Option(help='Folder with train, val and test, or "glyphs".')
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; may go on.")
    ],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe, as table.key=value."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Makes the run repeatable.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Train in bfloat16 mixed precision.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = 0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's files too.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch CIFAR if it is not there.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network by a recipe, and fit the method that follows.

    Broken off and called again, it goes on. Several processes: `torchrun
    --nproc-per-node 4 -m headtail train …`.

    Example: `headtail train --recipe cifar100-lt/ckt --data glyphs -o run`
    """
    changes = dict(read_setting(text) for text in setting or [])
    plan = load_recipe(recipe, changes)
    splits = load_splits(data, plan.protocol, seed=seed, download=download)
    trained = run_recipe(
        plan,
        splits,
        output,
        seed=seed,
        fabric=make_fabric(device, bf16=bf16),
        n_workers=workers,
        tensorboard=tensorboard,
    )
    if trained is None:
        return
    note(f"{plan.title}: written to {output}.")
    if trained.comparison is not None:
        table = trained.comparison
        result(table.to_text(), table.as_json(), as_json)
