"""Pictures of letters in many styles, each fixed by its letter, its number and a seed.

Every random number is a hash of what the picture is: no picture depends on which
others are rendered with it, nor on the number of threads.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from headtail.tensors import row_blocks

__all__ = ["SIDE", "STYLES", "letter_fields", "render_letters"]

SIDE = 32
STYLES = tuple(
    f"DejaVu{family}{cut}.ttf"
    for family, slanted in (
        ("Sans", "Oblique"),
        ("Serif", "Italic"),
        ("SansMono", "Oblique"),
    )
    for cut in ("", "-Bold", f"-{slanted}", f"-Bold{slanted}")
)

_FIELD = 64
_FONT_SIZE = 54

# What differs from picture to picture, and between which bounds it is uniform.
# Lengths are in half sides of the picture, grey levels go from 0 to 1.
_BOUNDS = {
    "style": (0, len(STYLES)),
    "turn": (-0.27, 0.27),  # tangent of the angle: up to 15° either way
    "slant": (-0.2, 0.2),
    "width": (0.85, 1.35),  # of the window on the letter: above 1 it looks smaller
    "height": (0.85, 1.35),
    "right": (-0.15, 0.15),
    "down": (-0.15, 0.15),
    **{f"bend_{term}": (-0.08, 0.08) for term in ("xx", "xy", "yx", "yy")},
    "thinness": (0.3, 0.65),
    "sharpness": (1.5, 4),
    "blur": (0, 1),
    "paper": (0, 1),
    "contrast": (0.2, 0.8),
    **{f"paper_{channel}": (-0.1, 0.1) for channel in "rgb"},
    **{f"ink_{channel}": (-0.1, 0.1) for channel in "rgb"},
    "shade_x": (-0.15, 0.15),
    "shade_y": (-0.15, 0.15),
    "noise": (0, 0.75),
    "scratch_slope": (-1, 1),
    "scratch_place": (-0.9, 0.9),
    "scratch_flatness": (0, 1),
    "scratch_width": (-0.05, 0.1),
}
# The same of a plain picture: black on white, upright, sharp and clean.
_PLAIN = dict.fromkeys(_BOUNDS, 0.0) | {
    "width": 1.1,
    "height": 1.1,
    "thinness": 0.45,
    "sharpness": 3.0,
    "paper": 1.0,
    "contrast": 0.8,
    "scratch_width": -0.05,
}


def render_letters(
    letters: npt.NDArray[np.str_],
    numbers: npt.NDArray[np.int64],
    seed: int,
    hardness: float = 1.0,
) -> npt.NDArray[np.uint8]:
    """Return picture numbers[i] of letters[i], uint8 [n_samples, 32, 32, 3].

    What differs from picture to picture is `hardness` times as far from a plain one as
    its bounds are; the style may be any.
    """
    known, rows = np.unique(letters, return_inverse=True)
    images = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
    if not len(rows):
        return images
    fields = np.stack([letter_fields(letter) for letter in known.tolist()])
    code_points = np.array([ord(letter) for letter in known.tolist()], np.uint64)
    start = np.array([seed % 2**64], np.uint64)
    keys = _mixed(_mixed(_mixed(start) ^ code_points)[rows] ^ numbers.astype(np.uint64))
    for block in row_blocks(len(rows), _FIELD**2):
        draw = _drawn(keys[block], hardness)
        styles = draw["style"].flatten().long().numpy()
        letter = torch.from_numpy(fields[rows[block], styles])
        ink = _inked(_warped(letter[:, None].float() / 255, draw), draw)
        images[block] = _coloured(ink, _pixel_noise(keys[block]), draw).numpy()
    return images


@lru_cache(maxsize=1024)
def letter_fields(letter: str) -> npt.NDArray[np.uint8]:
    """Return how near to ink each point is, uint8 [n_styles, 64, 64]; do not write.

    The letter stands about in the middle, in its size among the letters of its font.
    Cutting the field at another level makes its strokes thicker or thinner.
    """
    from PIL import Image, ImageDraw

    fields = np.empty((len(STYLES), _FIELD, _FIELD), np.uint8)
    for field, font in zip(fields, _fonts(), strict=True):
        left, top, right, bottom = font.getbbox(letter)
        corner = ((_FIELD - left - right) / 2, (_FIELD - top - bottom) / 2)
        page = Image.new("L", (_FIELD, _FIELD))
        ImageDraw.Draw(page).text(corner, letter, fill=255, font=font)
        field[:] = np.asarray(page)
    smooth = torch.from_numpy(fields)[:, None].float()
    for _ in range(2):
        smooth = F.avg_pool2d(smooth, 3, stride=1, padding=1)
    fields = smooth[:, 0].round().to(torch.uint8).numpy()
    fields.flags.writeable = False
    return fields


@lru_cache(maxsize=1)
def _fonts() -> tuple[Any, ...]:
    from matplotlib import get_data_path
    from PIL import ImageFont

    folder = Path(get_data_path()) / "fonts" / "ttf"
    # The basic layout: the other one is not in every build of Pillow.
    layout = ImageFont.Layout.BASIC
    return tuple(
        ImageFont.truetype(str(folder / style), _FONT_SIZE, layout_engine=layout)
        for style in STYLES
    )


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hash every 64-bit word as SplitMix64 does (Steele, Lea and Flood, 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _words(keys: npt.NDArray[np.uint64], first: int, n: int) -> npt.NDArray[np.uint64]:
    """Return n random words per key, [n_samples, n]."""
    return _mixed(keys[:, None] ^ _mixed(np.arange(first, first + n, dtype=np.uint64)))


def _drawn(keys: npt.NDArray[np.uint64], hardness: float = 1.0) -> dict[str, Tensor]:
    """Draw what differs from picture to picture, each [n_samples, 1, 1]."""
    reach = dict.fromkeys(_BOUNDS, hardness) | {"style": 1.0}
    words = _words(keys, 0, len(_BOUNDS))
    uniform = torch.from_numpy((words >> np.uint64(40)).astype(np.float32)) / 2**24
    columns = uniform[:, :, None, None].unbind(1)
    drawn = {
        name: low + (high - low) * column
        for (name, (low, high)), column in zip(_BOUNDS.items(), columns, strict=True)
    }
    return {
        name: torch.lerp(torch.full_like(value, _PLAIN[name]), value, reach[name])
        for name, value in drawn.items()
    }


def _pixel_noise(keys: npt.NDArray[np.uint64]) -> Tensor:
    """Draw noise from -0.5 to 0.5 for every value, [n_samples, 32, 32, 3]."""
    octets = _words(keys, len(_BOUNDS), SIDE * SIDE * 3 // 8).view(np.uint8)
    return torch.from_numpy(octets).reshape(-1, SIDE, SIDE, 3) / 255 - 0.5


# Below, sums and products are written out: a matrix product may round a picture
# differently in another company.
def _axes() -> tuple[Tensor, Tensor]:
    """Return where the columns and the rows of a picture lie, from -1 to 1."""
    line = (2 * torch.arange(SIDE) + 1) / SIDE - 1
    return line[None, :], line[:, None]


def _warped(field: Tensor, draw: dict[str, Tensor]) -> Tensor:
    """Look up the field on a turned, slanted, stretched, shifted and bent grid."""
    x, y = _axes()
    x, y = x + draw["right"], y + draw["down"]
    across = x + draw["turn"] * y + draw["slant"] * y
    along = y - draw["turn"] * x
    across = across * draw["width"] + draw["bend_xx"] * x * x + draw["bend_xy"] * y * y
    along = along * draw["height"] + draw["bend_yx"] * x * x + draw["bend_yy"] * y * y
    grid = torch.stack([across, along], dim=-1)  # [n_samples, 32, 32, 2]
    return F.grid_sample(field, grid, align_corners=False)[:, 0]


def _inked(field: Tensor, draw: dict[str, Tensor]) -> Tensor:
    """Cut the field to strokes, thick or thin, sharp or blurred; add a scratch."""
    ink = (draw["sharpness"] * (field - draw["thinness"]) + 0.5).clamp(0, 1)
    ink = torch.maximum(ink, _scratched(draw))
    smooth = F.avg_pool2d(ink[:, None], 3, stride=1, padding=1)[:, 0]
    return ink + draw["blur"] * (smooth - ink)


def _scratched(draw: dict[str, Tensor]) -> Tensor:
    """Draw a straight line across, steep in every second picture."""
    x, y = _axes()
    upright = draw["scratch_flatness"] < 0.5
    run, rise = torch.where(upright, y, x), torch.where(upright, x, y)
    off = (rise - draw["scratch_slope"] * run - draw["scratch_place"]).abs()
    return ((draw["scratch_width"] - off) * (SIDE / 2) + 0.5).clamp(0, 1)


def _coloured(ink: Tensor, noise: Tensor, draw: dict[str, Tensor]) -> Tensor:
    """Put ink on shaded paper of another colour, uint8 [n_samples, 32, 32, 3]."""
    x, y = _axes()
    paper = draw["paper"]
    # Away from the nearer end: the contrast that was drawn is always to be had.
    written = paper + torch.where(paper < 0.5, 1, -1) * draw["contrast"]
    shade = draw["shade_x"] * x + draw["shade_y"] * y
    image = torch.empty(noise.shape)
    for channel, name in enumerate("rgb"):
        ground = paper + draw[f"paper_{name}"]
        stroke = written.clamp(0, 1) + draw[f"ink_{name}"]
        image[..., channel] = ground + ink * (stroke - ground) + shade
    image = image + draw["noise"][..., None] * noise
    return (image * 255).round().clamp(0, 255).to(torch.uint8)
