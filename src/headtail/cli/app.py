"""The application: its commands, and how errors and warnings reach the user."""

import sys
import warnings
from typing import Any

import typer

from headtail.cli.add import add
from headtail.cli.compare import compare
from headtail.cli.demo import demo
from headtail.cli.evaluate import evaluate
from headtail.cli.export import export
from headtail.cli.extract import extract
from headtail.cli.figures import figures
from headtail.cli.fit import fit
from headtail.cli.info import info
from headtail.cli.methods import methods
from headtail.cli.predict import predict
from headtail.cli.recipes import recipes
from headtail.cli.report import report
from headtail.cli.serve import serve
from headtail.cli.statistics import statistics
from headtail.cli.train import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="headtail",
    help="Make the tail of a classifier as strong as its head.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for command in (
    *(demo, train, extract, fit, evaluate, predict, compare, report, figures),
    *(add, export, serve, info, methods, recipes, statistics),
):
    app.command()(command)

# What the library raises at its door; anything else is a bug and shows its traceback.
_DOOR = (ValueError, TypeError, OSError, ImportError)


def main() -> None:
    """Run the command line; an error at the door is one line and exit code 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        try:
            app()
        except _DOOR as error:
            _stderr(f"Error: {error}")
            sys.exit(2)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _stderr(f"Warning: {message}")


def _stderr(text: str) -> None:
    typer.echo(text, err=True)
