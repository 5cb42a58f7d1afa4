"""Random changes of training images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from headtail.datasets import Preprocessing
from headtail.tensors import as_tensor
from headtail.torchvision_operators import import_torchvision

__all__ = ["Augmentation", "crop_and_flip"]

ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are changed at random.

    Parameters
    ----------
    crop
        ``"pad"``: images of one size are padded with `padding` black pixels and cut to
        their size again, as on CIFAR. ``"random-resized"``: a part of random size and
        shape is brought to the size of the preprocessing, as on ImageNet.
        ``"none"``: what the preprocessing gives.
    padding
        Pixels on each side, for ``"pad"``.
    flip
        Mirror half of the images.
    color_jitter
        Largest relative change of brightness, contrast and saturation; 0 for none.
    """

    crop: Literal["none", "pad", "random-resized"] = "none"
    padding: int = 4
    flip: bool = False
    color_jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in ("none", "pad", "random-resized"):
            raise ValueError(
                f"crop must be 'none', 'pad' or 'random-resized'; got {self.crop!r}."
            )
        if self.padding < 0:
            raise ValueError(f"padding must be at least 0; got {self.padding}.")
        if not 0 <= self.color_jitter <= 1:
            raise ValueError(
                f"color_jitter must be in [0, 1]; got {self.color_jitter}."
            )

    def of_one(
        self, preprocessing: Preprocessing
    ) -> Callable[[ImageArray], ImageArray]:
        """Return the change of one image of any size, its preprocessing included.

        It draws from torch's global generator, as torchvision does.
        """
        if self.crop != "random-resized" and not self.color_jitter:
            return preprocessing.prepare
        if self.crop == "random-resized" and preprocessing.size is None:
            raise ValueError(
                'crop="random-resized" needs the size to cut to; give the '
                "preprocessing a size."
            )
        import_torchvision()
        from torchvision.transforms import v2

        steps: list[Any] = []
        if self.crop == "random-resized":
            mode = v2.InterpolationMode(preprocessing.interpolation)
            steps.append(v2.RandomResizedCrop(preprocessing.size, interpolation=mode))
        if self.color_jitter:
            steps.append(v2.ColorJitter(*[self.color_jitter] * 3))
        before = preprocessing if self.crop != "random-resized" else None
        return _Changed(v2.Compose(steps), before)

    def of_batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return uint8 images [n, height, width, 3] cropped and mirrored at random."""
        padding = self.padding if self.crop == "pad" else 0
        if not padding and not self.flip:
            return images
        return crop_and_flip(images, padding, self.flip, generator)


class _Changed:
    """A change of one image, by torchvision; other processes can be given it."""

    def __init__(self, change: Any, preprocessing: Preprocessing | None) -> None:
        self.change, self.preprocessing = change, preprocessing

    def __call__(self, image: ImageArray) -> ImageArray:
        if self.preprocessing is not None:
            image = self.preprocessing.prepare(image)
        tensor = as_tensor(image).permute(2, 0, 1)
        return np.asarray(self.change(tensor).permute(1, 2, 0).numpy())


def crop_and_flip(
    images: Tensor, padding: int, flip: bool, generator: torch.Generator
) -> Tensor:
    """Shift every image by up to `padding` pixels, black coming in; mirror half.

    All images [n, height, width, 3] in one gather; every shift has the same chance.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([1, 2, 3]).reshape(1, 1, 3, 1)
    >>> generator = torch.Generator().manual_seed(0)
    >>> mirrored = [
    ...     crop_and_flip(image, 0, True, generator).flatten().tolist() for _ in "1234"
    ... ]
    >>> sorted({tuple(row) for row in mirrored})
    [(1, 2, 3), (3, 2, 1)]
    """
    n_images, height, width, _ = images.shape
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    shifts = torch.randint(2 * padding + 1, (2, n_images, 1), generator=generator)
    rows = shifts[0] + torch.arange(height)  # [n, height]
    columns = torch.arange(width).expand(n_images, width)
    if flip:
        mirrored = torch.rand(n_images, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    columns = shifts[1] + columns  # [n, width]
    which = torch.arange(n_images)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]]
