"""``headtail info``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headtail.cli.output import JsonOption, result
from headtail.workflow import describe

__all__ = ["info"]


def info(
    file: Annotated[Path, typer.Argument(help="A run, a head, or features.")],
    as_json: JsonOption = False,
) -> None:
    """Tell what a file holds: a network, a head, a classifier or features.

    Example: `headtail info head.safetensors`
    """
    facts = describe(file)
    result("\n".join(_lines(facts)), facts, as_json)


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {'–' if value is None else value}")  # noqa: RUF001
    return lines
