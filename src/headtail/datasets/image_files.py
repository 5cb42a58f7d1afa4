"""Images in files: decoded when they are asked for, always as RGB with 8 bits."""

import errno
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IMAGE_SUFFIXES", "ImageFiles", "naming_damage", "read_image", "rgb"]

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


class ImageFiles(Sequence[npt.NDArray[np.uint8]]):
    """Image files as a sequence of uint8 arrays [height, width, 3].

    Nothing is read before an item is asked for.

    Parameters
    ----------
    paths
        Of the files.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self.paths = [os.fspath(path) for path in paths]

    @property
    def names(self) -> list[str]:
        """Paths from the folder that all lie in, which tell the images apart."""
        paths = [os.path.abspath(path) for path in self.paths]  # noqa: PTH100
        folders = [os.path.dirname(path) for path in paths]  # noqa: PTH120
        root = len(os.path.commonpath(folders)) if folders else 0
        return [path[root:] for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: Any) -> Any:
        return read_image(self.paths[position])


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Return the image in a file as `rgb` has it.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If the file is no whole image.
    """
    from PIL import Image

    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; check the path.")
    if not (Path(path).is_file() or Path(path).is_dir()):
        # A pipe would wait for its writer, a device never end.
        raise OSError(f"{path} must be a file; it is something else.")
    with naming_damage(path), Image.open(path) as image:
        if image.format == "EPS":
            raise ValueError("it is a program in PostScript, which is never run")
        return rgb(image)


@contextmanager
def naming_damage(what: object) -> Iterator[None]:
    """Turn whatever Pillow raises about pixels into a `ValueError` that says where."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Of damaged metadata, which change no pixel; some of ImageNet have them.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except Exception as error:  # damaged pixels fail in many ways
        # Pillow's own errors have no number: one that has is of the file system, but
        # for a seek to a place before the file, which damage asks for.
        damage = (None, errno.EISDIR, errno.EINVAL)
        if isinstance(error, OSError) and error.errno not in damage:
            raise
        raise ValueError(
            f"{what} must be a whole image; reading it failed ({error}). Replace it, "
            "or skip what cannot be read."
        ) from error


def rgb(image: Any) -> npt.NDArray[np.uint8]:
    """Return a Pillow image of any mode as uint8 [height, width, 3].

    Grey is repeated in all channels, CMYK converted, 16 bits cut to the upper 8, and
    what is transparent lies on white.

    Examples
    --------
    >>> from PIL import Image
    >>> rgb(Image.new("RGBA", (1, 1), (9, 9, 9, 0))).tolist()
    [[[255, 255, 255]]]
    """
    from PIL import Image

    if image.mode.startswith("I"):
        # Pillow would clip at 255 instead of scaling: a 16-bit image came out white.
        levels = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without known range")
    if "A" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return np.array(image.convert("RGB"))
