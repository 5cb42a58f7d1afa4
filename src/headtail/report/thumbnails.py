"""One small picture per class, all in one image."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from headtail.datasets import ImageSet
from headtail.report.model import Report

__all__ = ["Thumbnails", "thumbnails"]

# As many pictures as keep the page far below its limit.
MOST = 800
SIDE = 40
_COLUMNS = 25


@dataclass(frozen=True)
class Thumbnails:
    """Pictures of classes, side by side in one JPEG.

    Attributes
    ----------
    uri
        The image, as a data URI.
    side, columns, rows
        Pixels of one picture; pictures beside and below each other.
    places
        Which picture is whose: from positions in the table of classes.
    """

    uri: str
    side: int
    columns: int
    rows: int
    places: dict[int, int]


def thumbnails(report: Report, images: ImageSet, *, most: int = MOST) -> Thumbnails:
    """Take the first image of every class that a report shows, until there are `most`.

    Receivers from the fewest training examples on come first, with their donors.

    Parameters
    ----------
    report
        Classes match by name.
    images
        Training images with class names, or whose labels as text are the names.

    Raises
    ------
    ValueError
        If no class of the report has an image.
    """
    names = images.class_names or [str(label) for label in range(images.n_classes)]
    labels, first = np.unique(images.labels, return_index=True)
    row_of = {names[label]: int(row) for label, row in zip(labels, first, strict=True)}
    wanted = [c for c in _wanted(report) if report.classes.names[c] in row_of][:most]
    if not wanted:
        raise ValueError(
            "The images must be of the classes of the report; none of its "
            f"{len(report.classes.names)} class names has an image, but "
            f"{names[:5]} have. Pass the images that it was trained on."
        )
    columns = min(_COLUMNS, len(wanted))
    rows = -(-len(wanted) // columns)
    sheet = Image.new("RGB", (columns * SIDE, rows * SIDE), "white")
    for place, c in enumerate(wanted):
        pixels = np.asarray(images.images[row_of[report.classes.names[c]]])
        down, across = divmod(place, columns)
        sheet.paste(_small(pixels), (across * SIDE, down * SIDE))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=75, optimize=True)
    text = base64.b64encode(out.getvalue()).decode("ascii")
    places = {c: place for place, c in enumerate(wanted)}
    return Thumbnails(f"data:image/jpeg;base64,{text}", SIDE, columns, rows, places)


def _wanted(report: Report) -> Iterable[int]:
    """Return the classes in the order in which they are worth a picture, once each."""
    order: dict[int, None] = {}
    for method in report.methods:
        given = method.donors
        if given is not None:
            pairs = zip(given.receivers, given.donors, strict=True)
            for receiver, donors in sorted(pairs, reverse=True):
                order.update(dict.fromkeys([receiver, *donors]))
    order.update(dict.fromkeys(reversed(range(len(report.classes.names)))))
    return order


def _small(pixels: np.ndarray) -> Image.Image:
    """Cut the middle square and scale it."""
    image = Image.fromarray(pixels)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.crop(box).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
