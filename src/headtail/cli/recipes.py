"""``headtail recipes``."""

from headtail.cli.output import JsonOption, result
from headtail.training import load_recipe, recipe_names

__all__ = ["recipes"]


def recipes(as_json: JsonOption = False) -> None:
    """List the recipes of `headtail train`.

    Example: `headtail recipes`
    """
    titles = {name: load_recipe(name).title for name in recipe_names()}
    width = max(map(len, titles))
    text = "\n".join(f"{name:<{width}}  {title}" for name, title in titles.items())
    result(text, titles, as_json)
