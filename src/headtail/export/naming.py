"""What the classes of an exported model are called."""

from collections.abc import Sequence

from headtail.heads import Head
from headtail.training import ImageClassifier

__all__ = ["exported_names"]


def exported_names(
    model: Head | ImageClassifier, given: Sequence[str] | None = None
) -> list[str] | None:
    """Return the given names, else the model's, else its labels as text, else None."""
    head = model.head if isinstance(model, ImageClassifier) else model
    names = given
    if names is None and isinstance(model, ImageClassifier):
        names = model.class_names
    if names is None and head.classes is not None:
        names = [str(label) for label in head.classes.tolist()]
    if names is not None and len(names) != head.n_classes:
        raise ValueError(
            f"class_names must name each of the {head.n_classes} classes; got "
            f"{len(names)} names."
        )
    return None if names is None else [str(name) for name in names]
