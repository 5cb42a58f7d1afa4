"""A progress bar for what takes long; on a terminal only, to stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

__all__ = ["counter", "track"]

_T = TypeVar("_T")
_PATIENCE_S = 2.0


def track(items: Iterable[_T], total: int, label: str) -> Iterator[_T]:
    """Yield the items; after two seconds show how far they are."""
    with counter(total, label) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def counter(total: int, label: str) -> Iterator[Callable[..., None]]:
    """Give a function to call with how much was done; show it after two seconds.

    A second argument, if there is one, takes the place of the label.
    """
    begin = time.monotonic()
    bar: Progress | None = None
    done = 0

    def advance(more: int, new_label: str | None = None) -> None:
        nonlocal bar, done, label
        done += more
        label = label if new_label is None else new_label
        late = time.monotonic() - begin > _PATIENCE_S
        if bar is None and late and sys.stderr.isatty():
            bar = Progress(console=Console(stderr=True), transient=True)
            bar.start()
            bar.add_task(label, total=total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done, description=label)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()
