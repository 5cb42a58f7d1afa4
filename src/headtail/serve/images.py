"""Images as clients send them, and their features by the network of a run."""

import base64
import binascii
import threading
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.datasets.image_files import naming_damage, rgb
from headtail.serve.errors import RefusedError
from headtail.training import ImageClassifier

__all__ = ["ImageFeatures", "decode_base64"]

# Formats of one image without programs or links in it.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Pixels that the images of one request may unpack to: some 400 MB of RGB.
_MOST_PIXELS = 2**27
# Pixels of an image for a network that takes images of any size, as they are.
_MOST_PIXELS_AS_THEY_ARE = 2**18
# Longer by shorter side: the shorter one is scaled to the network's size.
_MOST_ASPECT = 32
_BATCH = 64


class ImageFeatures:
    """From image files to the features that a head takes.

    Parameters
    ----------
    model
        A network of `headtail train`; its own head is not used.
    n_features
        What the served head takes.

    Examples
    --------
    >>> from PIL import Image
    >>> from headtail.training import build_backbone, new_head
    >>> model = ImageClassifier(build_backbone("resnet20"), new_head("linear", 64, 3))
    >>> file = BytesIO()
    >>> Image.new("RGB", (32, 32)).save(file, "png")
    >>> ImageFeatures(model, 64)([file.getvalue()]).shape
    torch.Size([1, 64])
    """

    def __init__(self, model: ImageClassifier, n_features: int) -> None:
        if model.backbone.n_features != n_features:
            raise ValueError(
                f"The network must give the {n_features} features that the head takes; "
                f"it gives {model.backbone.n_features}. Take the network whose "
                "features the head was fitted on."
            )
        self._backbone = model.backbone.eval()
        self._preprocessing = model.preprocessing
        # Warnings of a decoder are caught for the whole process: one at a time.
        self._lock = threading.Lock()

    def __call__(self, files: Sequence[bytes]) -> Tensor:
        """Return the features of images, float64 [n_images, n_features].

        Raises
        ------
        RefusedError
            If one is no whole image, or they have too many pixels.
        """
        with self._lock:
            try:
                self._check_sizes(files)
                prepared = [self._prepared(file, i) for i, file in enumerate(files)]
            except RefusedError:
                raise
            except ValueError as error:
                raise RefusedError(422, str(error)) from error
        shapes = {image.shape for image in prepared}
        if len(shapes) > 1:
            raise RefusedError(
                422,
                "Images must be of one size for this network, which takes them as they "
                f"are; got {len(shapes)} sizes.",
            )
        parts = []
        with torch.inference_mode():
            for start in range(0, len(prepared), _BATCH):
                images = torch.from_numpy(np.stack(prepared[start : start + _BATCH]))
                parts.append(self._backbone(self._preprocessing.normalize(images)))
        with torch.inference_mode(False):
            features = torch.cat(parts).double().clone()
        if not features.isfinite().all():
            raise RefusedError(422, "Images must have finite features; these have not.")
        return features

    def _prepared(self, file: bytes, position: int) -> npt.NDArray[np.uint8]:
        from PIL import Image

        with (
            naming_damage(f"image {position}"),
            Image.open(BytesIO(file), formats=_FORMATS) as image,
        ):
            return np.ascontiguousarray(self._preprocessing.prepare(rgb(image)))

    def _check_sizes(self, files: Sequence[bytes]) -> None:
        """Refuse too many pixels by what the headers say, before any is unpacked."""
        from PIL import Image

        pixels = 0
        for position, file in enumerate(files):
            with (
                naming_damage(f"image {position}"),
                Image.open(BytesIO(file), formats=_FORMATS) as image,
            ):
                sides = sorted(image.size)
            here = sides[0] * sides[1]
            pixels += here
            if sides[1] > _MOST_ASPECT * sides[0]:
                raise RefusedError(
                    422,
                    f"Images must be at most {_MOST_ASPECT} times as long as wide; "
                    f"image {position} has {sides[1]} by {sides[0]} pixels. Crop it.",
                )
            as_it_is = self._preprocessing.size is None
            if pixels > _MOST_PIXELS or (as_it_is and here > _MOST_PIXELS_AS_THEY_ARE):
                most = _MOST_PIXELS_AS_THEY_ARE if as_it_is else _MOST_PIXELS
                raise RefusedError(
                    413,
                    f"Images must have at most {most:,} pixels; image {position} has "
                    f"{here:,}, and with those before it {pixels:,}. Scale them down.",
                )


def decode_base64(images: Sequence[str]) -> list[bytes]:
    """Return files that came as text.

    Examples
    --------
    >>> decode_base64(["aGk="])
    [b'hi']
    """
    files = []
    for position, text in enumerate(images):
        try:
            files.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise RefusedError(
                422,
                f"images must be files in base64; image {position} is not ({error}).",
            ) from error
    return files
