"""What the readers hand over and the writers take."""

from typing import Any, NamedTuple

__all__ = ["NAMES_KEY", "Columns"]

# Where metadata of a file keep the class names.
NAMES_KEY = "class_names"


class Columns(NamedTuple):
    """What a file holds, before it is checked."""

    features: Any
    labels: Any
    class_names: Any
