"""The command line: one file per command, each a call of the library."""

from headtail.cli.app import app, main

__all__ = ["app", "main"]
