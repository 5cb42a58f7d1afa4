"""``headtail recipes``."""

from typing import Annotated

import typer

from headtail.cli.output import JsonOption, result
from headtail.training import load_recipe, recipe_names, recipe_text

__all__ = ["recipes"]


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show the file of this recipe instead.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the recipes that train takes, or show one.

    Example: `headtail recipes cifar100-lt/ckt`
    """
    if name is not None:
        text = recipe_text(name)
        result(text.rstrip(), {"name": name, "text": text}, as_json)
        return
    titles = {name: load_recipe(name).title for name in recipe_names()}
    width = max(map(len, titles))
    text = "\n".join(f"{name:<{width}}  {title}" for name, title in titles.items())
    result(text, titles, as_json)
