"""Recipes: a training and its second stage as a TOML file, published ones by name."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from headtail.datasets import Preprocessing
from headtail.files import existing_file, stays_below
from headtail.tensors import shown
from headtail.training.augmentation import Augmentation
from headtail.training.schedule import Optimization, Schedule

__all__ = ["Recipe", "load_recipe", "recipe_names", "recipe_text"]

_PUBLISHED = files("headtail.training") / "recipes"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained on a protocol, and what follows.

    Attributes
    ----------
    name, title, source
        What it is called, what it is, and the paper or code its numbers are from.
    protocol
        Name and options of the data set's protocol, see `headtail.datasets.PROTOCOLS`;
        empty for data of one's own.
    backbone
        Keyword arguments of `build_backbone`.
    head
        Keyword arguments of `new_head`: `kind`, and `scale` for a cosine head.
    optimization, schedule, augmentation
        As in `train`.
    preprocessing
        Keyword arguments of `Preprocessing`, in the place of the backbone's.
    training
        Further arguments of `train`: `sampling`, `loss`, `loss_options`, `parts`.
    method
        Name and parameters of the method of the registry that follows on the features;
        empty for none.
    """

    name: str
    title: str
    backbone: Mapping[str, Any]
    head: Mapping[str, Any]
    optimization: Optimization
    schedule: Schedule
    source: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)
    training: Mapping[str, Any] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)


_TYPES = {
    "augmentation": Augmentation,
    "optimization": Optimization,
    "schedule": Schedule,
}
# More than anybody writes on purpose.
_MOST_EXTENDED = 20
_TRAINING = ("sampling", "loss", "loss_options", "parts")


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the library.

    Examples
    --------
    >>> "cifar100-lt/ckt" in recipe_names()
    True
    """
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.toml')}"
        for folder in _PUBLISHED.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    )


def load_recipe(
    name: str | os.PathLike[str], changes: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe by its name, or from a TOML file of one's own.

    A file may say ``extends = "NAME"``, or name a file beside it: its tables then
    change those of that recipe, key by key.

    Parameters
    ----------
    name
        One of `recipe_names`, or the path of a file that ends in ``.toml``.
    changes
        Values to put in the place of those in the file, by ``"table.key"``, or
        ``"method.parameters.key"``.

    Examples
    --------
    >>> recipe = load_recipe("cifar100-lt/ckt", {"optimization.batch_size": 64})
    >>> recipe.head["kind"], recipe.training["sampling"], recipe.optimization.batch_size
    ('cosine', 'sqrt', 64)
    """
    tables = _tables(os.fspath(name))
    for path, value in (changes or {}).items():
        _change(tables, path, value)
    tables = {"name": os.fspath(name), **tables}
    _check_keys(f"recipe {name}", tables, [f.name for f in fields(Recipe)])
    lacking = {"title", "backbone", "head", "optimization", "schedule"} - set(tables)
    if lacking:
        raise ValueError(f"recipe {name} must have {sorted(lacking)} too.")
    known = [f.name for f in fields(Preprocessing)]
    _check_keys(
        f"recipe {name}, [preprocessing]", tables.get("preprocessing", {}), known
    )
    _check_keys(
        f"recipe {name}, [training]", tables.get("training", {}), list(_TRAINING)
    )
    for table, kind in _TYPES.items():
        if table not in tables:
            continue
        _check_keys(
            f"recipe {name}, [{table}]", tables[table], [f.name for f in fields(kind)]
        )
        try:
            tables[table] = kind(**tables[table])
        except (TypeError, ValueError) as error:
            raise type(error)(f"recipe {name}, [{table}]: {error}") from error
    return Recipe(**tables)


def recipe_text(name: str) -> str:
    """Return the TOML of a recipe by its name, or of a file."""
    path = Path(name)
    if path.suffix == ".toml":
        try:
            return existing_file(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name} must be a TOML file in UTF-8; {error}."
            ) from error
    if name not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), n=5, cutoff=0.3)
        raise ValueError(
            f"recipe must be a .toml file or one of those that `headtail recipes` "
            f"lists; got {name!r}. Near it: {shown(near)}."
        )
    return (_PUBLISHED / f"{name}.toml").read_text(encoding="utf-8")


def _tables(name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the tables of a file, over those of the recipe that it extends."""
    try:
        text = recipe_text(name)
    except (OSError, ValueError) as error:
        if not above:
            raise
        raise type(error)(f"{above[-1]} extends it: {error}") from error
    try:
        own = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} must be a TOML file; {error}.") from error
    _check_tables(name, own)
    below = own.pop("extends", None)
    if below is None:
        return own
    if below.endswith(".toml"):
        folder = Path(name).parent
        if not stays_below(folder, below):
            raise ValueError(
                f"{name} must extend a file in its own folder; got {below!r}. Copy the "
                "file there."
            )
        below = str(folder / below)
    above = (*above, name)
    if below in above or len(above) > _MOST_EXTENDED:
        raise ValueError(
            f"{name} must extend a recipe that ends somewhere; it comes back to itself "
            f"or goes over {_MOST_EXTENDED} files."
        )
    return _merged(_tables(below, above), own)


def _check_tables(name: str, tables: Mapping[str, Any]) -> None:
    """Refuse a text that is a table, and a table that is something else."""
    texts = ("extends", "name", "title", "source")
    for key in (f.name for f in fields(Recipe)):
        kind, what = (str, "text") if key in texts else (dict, "a table")
        if not isinstance(tables.get(key, kind()), kind):
            raise TypeError(f"{name} must have {what} as {key!r}.")
    if not isinstance(tables.get("extends", ""), str):
        raise TypeError(f"{name} must have text as 'extends'.")


def _merged(below: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def _change(tables: dict[str, Any], path: str, value: Any) -> None:
    *above, key = path.split(".")
    inner: Any = tables
    for part in above:
        inner = inner.setdefault(part, {}) if isinstance(inner, dict) else None
    if not above or not isinstance(inner, dict):
        raise ValueError(f"A change must be of table.key; got {path!r}.")
    inner[key] = value


def _check_keys(where: str, table: Mapping[str, Any], known: list[str]) -> None:
    unknown = [key for key in table if key not in known]
    if unknown:
        raise ValueError(f"{where} has no key {shown(unknown)}; its keys are {known}.")
