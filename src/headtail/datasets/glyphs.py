# ruff: noqa: RUF001 - letters that look like others are what this file is about
"""Letters of five scripts from matplotlib's fonts: images without a network."""

import os
import unicodedata
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headtail.datasets._glyph_rendering import SIDE, render_letters
from headtail.datasets.image_set import ImageSet
from headtail.datasets.profiles import exponential_counts
from headtail.files import written_whole
from headtail.tensors import fingerprint, shown

__all__ = ["GLYPH_CLASSES", "Glyphs", "glyph_taxonomy", "glyphs", "render_glyphs"]

# Raise it whenever a picture changes: older cache files are then left alone.
_VERSION = 1

GLYPH_CLASSES = (
    *"dμяөøœლĺśωջᾶvӭţjխẹϋɣѣůвιო",
    *"ğxąwჩήṛḱịчæξыsņƒձфlყнőǿhṃ",
    *"κӟეկაέσʒյčάէžpჭљպķњḍyηӛփř",
    *"πғubáմẉӫυäδųფeςზῆưëtώტщnf",
    *"ъrẍწзúэǽaψģîῳọύҳћŵṽპშŋնթм",
    *"ϊֆĵẓγφþqñǯďრļєӵńózoζŷüεðђ",
    *"iչեįϡџạსχἔḿίßըվдჟβӹmюťәᾳλ",
    *"бçkւåцöłαşḥýτქṕჯḣcշégлęճღ",
)
"""The letters from head to tail; label i is GLYPH_CLASSES[i], whatever the number of
classes.

Scripts, base letters and marked letters are spread over the whole order: the tail is
not harder in itself. A letter is the first with its base, or one with the same base
stands at most half as far down: among 200 classes, all marked letters of the lower half
have kin in the upper half; among 100, most.
"""


class Glyphs(NamedTuple):
    """A long-tailed training set, balanced validation and test sets, and the kinships.

    `taxonomy` holds the path of every class: script, base letter, letter.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    taxonomy: tuple[tuple[str, str, str], ...]


def glyphs(
    class_counts: npt.ArrayLike | None = None,
    *,
    n_classes: int = 200,
    largest: int = 200,
    imbalance_ratio: float = 100,
    n_validation: int = 10,
    n_test: int = 20,
    hardness: float = 1.0,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
) -> Glyphs:
    """Render a long-tailed data set of letters, 32 by 32 pixels.

    Every picture shows a letter in one of twelve fonts, turned, slanted, stretched,
    shifted and bent, thick or thin, more or less blurred, on shaded and noisy paper. No
    picture is in two of the sets.

    Parameters
    ----------
    class_counts
        Training images of the first letters of `GLYPH_CLASSES`. None: they fall
        exponentially, as the next three say; otherwise these are not looked at.
    n_classes, largest, imbalance_ratio
        See :func:`exponential_counts`.
    n_validation, n_test
        Images per class in the validation and the test set.
    hardness
        From 0, plain black letters on white, each font alike in all its pictures, to
        1, what is said above.
    seed
        Another seed, other pictures of the same letters.
    cache
        Folder in which the pictures are kept for the next call; it is made if need be.
        None keeps nothing.

    Examples
    --------
    >>> data = glyphs([40, 8, 2], n_test=5)
    >>> data.train.class_names
    ('latin d', 'greek mu', 'cyrillic ya')
    >>> data.train.class_counts, data.test.class_counts
    (array([40,  8,  2]), array([5, 5, 5]))
    """
    if class_counts is None:
        class_counts = exponential_counts(n_classes, largest, imbalance_ratio)
    counts = _checked_counts(class_counts)
    for name, value in (("n_validation", n_validation), ("n_test", n_test)):
        _check_whole(name, value)
    _check_whole("seed", seed)
    _check_hardness(hardness)
    # The test set comes first in the row of pictures: it is the same for all counts.
    sizes = {
        "test": np.full_like(counts, n_test),
        "validation": np.full_like(counts, n_validation),
        "train": counts,
    }
    labels = {name: np.repeat(np.arange(len(n)), n) for name, n in sizes.items()}
    if cache is None:
        images = _rendered(labels, n_validation, n_test, hardness, seed)
    else:
        what = [np.array([seed % 2**64], np.uint64), np.array([hardness])]
        key = fingerprint(*sizes.values(), *what)
        path = Path(cache) / f"glyphs-{_VERSION}-{key}.npz"
        images = _read(path, labels)
        if not images:
            images = _rendered(labels, n_validation, n_test, hardness, seed)
            _write(path, images)
    taxonomy = glyph_taxonomy()[: len(counts)]
    names = [_name(letter) for *_, letter in taxonomy]
    sets = {name: ImageSet(images[name], labels[name], names) for name in labels}
    return Glyphs(**sets, taxonomy=taxonomy)


def render_glyphs(
    labels: npt.ArrayLike, *, hardness: float = 1.0, seed: int = 0, first: int = 0
) -> npt.NDArray[np.uint8]:
    """Render an image for every label, uint8 [n_samples, 32, 32, 3].

    Every class has an endless row of pictures, which depends on the seed alone; the
    i-th image with a label, from 0, is picture first + i of its class.

    Examples
    --------
    >>> images = render_glyphs([7, 3, 7])
    >>> images.shape
    (3, 32, 32, 3)
    >>> images[2].tobytes() == render_glyphs([7], first=1).tobytes()
    True
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (len(labels) and labels.dtype.kind not in "iu"):
        raise TypeError(
            "labels must be integers [n_samples], positions in GLYPH_CLASSES; got "
            f"{labels.dtype} of shape {list(labels.shape)}."
        )
    labels = labels.astype(np.int64)
    beyond = np.unique(labels[(labels < 0) | (labels >= len(GLYPH_CLASSES))])
    if len(beyond):
        raise ValueError(
            f"labels must be in 0 … {len(GLYPH_CLASSES) - 1}, the positions in "
            f"GLYPH_CLASSES; got {shown(beyond)}."
        )
    _check_whole("seed", seed)
    _check_whole("first", first)
    _check_hardness(hardness)
    have = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    numbers = np.empty_like(labels)
    numbers[order] = np.arange(len(labels)) - np.repeat(np.cumsum(have) - have, have)
    letters = np.array(GLYPH_CLASSES)[labels]
    return render_letters(letters, first + numbers, seed, hardness)


def glyph_taxonomy() -> tuple[tuple[str, str, str], ...]:
    """Return script, base letter and letter of every class.

    Examples
    --------
    >>> glyph_taxonomy()[GLYPH_CLASSES.index("å")]
    ('latin', 'a', 'å')
    """
    return tuple(
        (_name(letter).split()[0], unicodedata.normalize("NFD", letter)[0], letter)
        for letter in GLYPH_CLASSES
    )


def _name(letter: str) -> str:
    """Return a short form of the name in Unicode: script, letter, marks."""
    words = unicodedata.name(letter).lower().split()
    return " ".join(word for word in words if word not in ("small", "letter", "with"))


def _rendered(
    labels: dict[str, npt.NDArray[np.int64]],
    n_validation: int,
    n_test: int,
    hardness: float,
    seed: int,
) -> dict[str, npt.NDArray[np.uint8]]:
    first = {"test": 0, "validation": n_test, "train": n_test + n_validation}
    return {
        name: render_glyphs(rows, hardness=hardness, seed=seed, first=first[name])
        for name, rows in labels.items()
    }


def _read(
    path: Path, labels: dict[str, npt.NDArray[np.int64]]
) -> dict[str, npt.NDArray[np.uint8]]:
    """Return what `_write` wrote; nothing if there is no such file or it is damaged."""
    if not path.exists():
        return {}
    try:
        # Opened here: where the file is damaged, numpy may leave it open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            images = {name: file[name] for name in labels}
        for name, rows in labels.items():
            if images[name].shape != (len(rows), SIDE, SIDE, 3):
                raise ValueError(f"{name} has shape {list(images[name].shape)}")
    except Exception as error:  # whatever is wrong with it, it can be rendered again
        warnings.warn(
            f"{path} must be a whole .npz file; reading it failed ({error}). It is "
            "rendered again.",
            stacklevel=3,
        )
        return {}
    return images


def _write(path: Path, images: dict[str, npt.NDArray[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        np.savez(temporary, **images)  # type: ignore[arg-type]


def _checked_counts(class_counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    counts = np.asarray(class_counts)
    if counts.ndim != 1 or not 1 <= len(counts) <= len(GLYPH_CLASSES):
        raise ValueError(
            f"class_counts must have 1 to {len(GLYPH_CLASSES)} entries, one per class; "
            f"got shape {list(counts.shape)}."
        )
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ValueError(
            f"class_counts must be integers, at least 0; got {shown(counts)} of "
            f"{counts.dtype}."
        )
    return counts.astype(np.int64)


def _check_whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"{name} must be an integer, at least 0; got {value!r}.")


def _check_hardness(hardness: float) -> None:
    if not 0 <= hardness <= 1:
        raise ValueError(f"hardness must be in [0, 1]; got {hardness!r}.")
