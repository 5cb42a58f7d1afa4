"""A progress bar for what takes long; on a terminal only, to stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

__all__ = ["track"]

_T = TypeVar("_T")
_PATIENCE_S = 2.0


def track(items: Iterable[_T], total: int, label: str) -> Iterator[_T]:
    """Yield the items; after two seconds show how far they are."""
    begin = time.monotonic()
    bar: Progress | None = None
    try:
        for done, item in enumerate(items):
            yield item
            if bar is None and time.monotonic() - begin > _PATIENCE_S:
                if not sys.stderr.isatty():
                    continue
                bar = Progress(console=Console(stderr=True), transient=True)
                bar.start()
                task = bar.add_task(label, total=total)
            if bar is not None:
                bar.update(task, completed=done + 1)
    finally:
        if bar is not None:
            bar.stop()
