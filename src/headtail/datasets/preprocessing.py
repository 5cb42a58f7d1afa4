"""What happens to an image before a network sees it, without any randomness."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Preprocessing"]

Three = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, cut out the centre, normalise.

    Parameters
    ----------
    mean, std
        Of the three channels of images from 0 to 1: (image - mean) / std is what the
        network sees.
    size
        Side in pixels of the square that is cut out of the centre; None to take images
        as they are, which must then be of one size.
    resize
        Side in pixels that the shorter side is brought to before; None for `size`.
    interpolation
        How pixels are resized.

    Examples
    --------
    >>> import numpy as np
    >>> small = Preprocessing(size=4, resize=8)
    >>> small.prepare(np.zeros((30, 20, 3), np.uint8)).shape
    (4, 4, 3)
    """

    mean: Three = (0.485, 0.456, 0.406)
    std: Three = (0.229, 0.224, 0.225)
    size: int | None = None
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3 or (name == "std" and not min(values) > 0):
                raise ValueError(
                    f"{name} must be three numbers, those of std positive; got "
                    f"{values}."
                )
            object.__setattr__(self, name, values)
        for name in ("size", "resize"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 pixel; got {value}.")
        if self.resize is not None and (self.size is None or self.resize < self.size):
            raise ValueError(
                f"resize must be at least size; got resize={self.resize} and "
                f"size={self.size}."
            )
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(
                "interpolation must be 'bilinear' or 'bicubic'; got "
                f"{self.interpolation!r}."
            )

    def prepare(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the centre of the resized image, [size, size, 3]."""
        if self.size is None:
            return image
        # Pillow takes long to import, and arrays of one size do not need it.
        from PIL import Image

        height, width = image.shape[:2]
        side = self.size if self.resize is None else self.resize
        shape = (
            max(side, round(side * width / min(height, width))),
            max(side, round(side * height / min(height, width))),
        )
        if shape != (width, height):
            kind = Image.Resampling[self.interpolation.upper()]
            image = np.asarray(Image.fromarray(image).resize(shape, kind))
        top, left = (shape[1] - self.size) // 2, (shape[0] - self.size) // 2
        return image[top : top + self.size, left : left + self.size]

    def normalize(self, images: Tensor) -> Tensor:
        """Return uint8 images [n, height, width, 3] as float32 [n, 3, height, width].

        The memory stays in the order it had (channels last).
        """
        mean = torch.tensor(self.mean, device=images.device) * 255
        std = torch.tensor(self.std, device=images.device) * 255
        return ((images - mean) / std).permute(0, 3, 1, 2)

    def spec(self) -> dict[str, Any]:
        """Return the parameters, as JSON."""
        return asdict(self)
