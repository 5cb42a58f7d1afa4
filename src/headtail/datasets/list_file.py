"""List files: a line per image, path and label; a line per class, id and name."""

import io
import os
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headtail.files import existing_file, open_error, read_gzip, stays_below
from headtail.tensors import shown

__all__ = ["ListFile", "read_class_names", "read_list"]

_GZIP = b"\x1f\x8b"

# Seven digits hold any class that a line may name by right; a slip with a number of
# twenty digits would ask for counts that no memory holds.
_LABEL = re.compile(r"\d{1,7}", re.ASCII)


# Up the folders, from the top of all, or from that of a drive.
_ELSEWHERE = re.compile(r"\.\.|^[/\\]|:")


class ListFile(NamedTuple):
    """Paths as they stand in the file, and the label of each."""

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]


def read_list(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> ListFile:
    r"""Read lines ``path label``, the format of the published long-tailed lists.

    The label is what follows the last blank, so paths may hold blanks. Empty lines are
    skipped. The file may be compressed with gzip. No image is opened, and a class may
    be without a line.

    Parameters
    ----------
    path
        Of the list.
    root
        The folder that its paths begin at; None to take any path.

    Raises
    ------
    ValueError
        If a line is not a path and a label of 0 … 9,999,999, if there is no line, or
        if a path leads out of `root`, by ``..`` or as an absolute one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "train.txt")
    ...     _ = file.write_text("cat/1.jpg 0\nlynx/a b.jpg 1\n")
    ...     read_list(file)
    ListFile(paths=('cat/1.jpg', 'lynx/a b.jpg'), labels=array([0, 1]))
    """
    path = existing_file(path)
    lines = _read_text(path).split("\n")
    rows = [line.rsplit(None, 1) for line in lines if line and not line.isspace()]
    if not rows:
        raise ValueError(
            f"{path} must hold a line 'path label' per image; it is empty."
        )
    if not all(len(row) == 2 and _LABEL.fullmatch(row[1]) for row in rows):
        raise _line_error(path, lines)
    if root is not None:
        _check_inside(path, root, lines)
    labels = np.fromiter((int(row[1]) for row in rows), dtype=np.int64, count=len(rows))
    return ListFile(tuple(row[0] for row in rows), labels)


def read_class_names(path: str | os.PathLike[str]) -> dict[str, str]:
    r"""Read lines ``id name``, one per class, into names by id.

    A name that comes twice gets its id behind it: ImageNet has two classes "missile".
    The order says nothing: that of the file for Places-LT is not the order of labels.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "names.txt")
    ...     _ = file.write_text("n1 white shark\nn2 missile\nn3 missile\n")
    ...     read_class_names(file)
    {'n1': 'white shark', 'n2': 'missile (n2)', 'n3': 'missile (n3)'}
    """
    path = existing_file(path)
    lines = _read_text(path).split("\n")
    rows = [line.split(None, 1) for line in lines if line and not line.isspace()]
    odd = sum(len(row) != 2 for row in rows)
    if odd or not rows:
        raise ValueError(
            f"{path} must hold a line 'id name' per class; it has {len(rows)} lines, "
            f"{odd} of them without a name. Get it again."
        )
    keys, names = [row[0] for row in rows], [row[1].strip() for row in rows]
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        raise ValueError(f"{path} must name every id once; {shown(twice)} come twice.")
    often = Counter(names)
    return {
        key: f"{name} ({key})" if often[name] > 1 else name
        for key, name in zip(keys, names, strict=True)
    }


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        content = read_gzip(path) if packed else path.read_bytes()
        # Universal newlines; a byte order mark is no part of the first path.
        with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig") as stream:
            return stream.read()
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise open_error(path, error, "list in UTF-8, plain or gzip") from error


def _check_inside(path: Path, root: str | os.PathLike[str], lines: list[str]) -> None:
    for number, line in enumerate(lines, start=1):
        # Most lines have nothing that could lead elsewhere.
        if not _ELSEWHERE.search(line) or line.isspace():
            continue
        name = line.rsplit(None, 1)[0]
        if not stays_below(root, name):
            raise ValueError(
                f"Every path in {path} must stay below {root}; line {number} leads out "
                f"of it: {name[:200]!r}. Write paths from the root, or choose another "
                "root."
            )


def _line_error(path: Path, lines: list[str]) -> ValueError:
    """Return the error for the first line that is not a path and a label."""
    for number, line in enumerate(lines, start=1):
        row = line.rsplit(None, 1)
        if not row or (len(row) == 2 and _LABEL.fullmatch(row[1])):
            continue
        if len(row) == 1:
            what, hint = "has one word", "Write the label behind the path."
        elif row[1].lstrip("-").isdigit():
            what, hint = f"has the label {row[1]:.20}", "Number the classes from 0."
        else:
            what, hint = f"ends in {row[1][:20]!r}", "Write labels as integers."
        text = line if len(line) <= 60 else f"{line[:60]}…"
        return ValueError(
            f"Every line of {path} must be a path, a blank, and a label of 0 … "
            f"9,999,999; line {number} {what}: {text!r}. {hint}"
        )
    raise AssertionError("no bad line")
