"""``headtail methods``."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from headtail.cli.output import JsonOption, result
from headtail.registry import METHODS

__all__ = ["methods"]


def methods(as_json: JsonOption = False) -> None:
    """List the methods.

    Example: `headtail methods`
    """
    rows: list[dict[str, Any]] = [asdict(method) for method in METHODS]
    for row in rows:
        row["estimator"] = row["estimator"].__name__
    if as_json:
        result("", rows, as_json=True)
        return
    table = Table("method", "family", "what it does", box=None, pad_edge=False)
    for row in rows:
        mark = " (recommended)" if row["recommended"] else ""
        table.add_row(row["name"] + mark, row["family"], row["summary"])
    Console().print(table)
