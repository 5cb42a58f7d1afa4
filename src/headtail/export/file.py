"""From a file of headtail to a file for others."""

import os
from pathlib import Path
from typing import Literal, get_args

from headtail.export.onnx import export_onnx
from headtail.export.weights import export_safetensors, export_state_dict
from headtail.files import open_metadata
from headtail.heads import Head, load_head
from headtail.matching import class_names_of
from headtail.registry import load_classifier
from headtail.training import ImageClassifier, is_run, load_run

__all__ = ["FORMATS", "Format", "export_file", "format_of"]

Format = Literal["onnx", "state-dict", "safetensors"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SUFFIXES: dict[str, Format] = {
    ".onnx": "onnx",
    ".pt": "state-dict",
    ".safetensors": "safetensors",
}


def format_of(path: str | os.PathLike[str], format: str | None = None) -> Format:
    """Return the format that is named, or that the suffix of the file says.

    Examples
    --------
    >>> format_of("head.pt")
    'state-dict'
    """
    if format is None:
        suffix = Path(path).suffix
        if suffix not in _SUFFIXES:
            raise ValueError(
                f"{path} must end in one of {list(_SUFFIXES)}, or a format be named; "
                f"got {suffix!r}."
            )
        return _SUFFIXES[suffix]
    for known in FORMATS:
        if format == known:
            return known
    raise ValueError(f"format must be one of {list(FORMATS)}; got {format!r}.")


def export_file(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    image_size: int | None = None,
) -> None:
    """Export what a head, a classifier, a network or a run's folder holds.

    Parameters
    ----------
    source
        Written by `headtail fit` or `train`, or by a `save` of Python.
    path
        The file to write.
    format
        ``"onnx"``, ``"state-dict"`` or ``"safetensors"``; None for the one of the
        suffix: ``.onnx``, ``.pt``, ``.safetensors``.
    image_size
        As in `export_onnx`.
    """
    kind = format_of(path, format)
    if Path(path).resolve() == Path(source).resolve():
        raise ValueError(
            f"{path} must be another file than the one that is exported, which would "
            "be lost. Choose another name."
        )
    if kind != "onnx" and image_size is not None:
        raise ValueError(f"image_size is for ONNX; got {image_size} for {kind}.")
    model, names = _read(Path(source))
    if kind == "onnx":
        export_onnx(model, path, class_names=names, image_size=image_size)
    elif kind == "safetensors":
        export_safetensors(model, path, class_names=names)
    else:
        export_state_dict(model, path)


def _read(source: Path) -> tuple[Head | ImageClassifier, tuple[str, ...] | None]:
    """Return what a file holds, and the names of its classes if it has its own."""
    metadata = None if is_run(source) else open_metadata(source)
    if metadata is None or "image_classifier" in metadata:
        return load_run(source), None
    if "estimator" not in metadata:
        return load_head(source), None
    classifier = load_classifier(source)
    head: Head = classifier.head_
    return head, class_names_of(classifier)
