"""Features of batches of images: one forward pass for each view."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from headtail.datasets import Preprocessing

__all__ = ["check_views", "forward", "views_of"]

_VIEWS = (1, 2, 10)


def check_views(views: int) -> None:
    """Refuse another number of views than `views_of` knows."""
    if views not in _VIEWS:
        raise ValueError(f"views must be one of {_VIEWS}; got {views}.")


def views_of(images: Tensor, views: int) -> Iterator[Tensor]:
    """Yield uint8 images [n, height, width, 3] in each of the views, see `extract`.

    What a shift uncovers repeats the pixels at the edge.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([1, 2, 3]).reshape(1, 1, 3, 1)
    >>> [view.flatten().tolist() for view in views_of(image, 2)]
    [[1, 2, 3], [3, 2, 1]]
    """
    check_views(views)
    height, width = images.shape[1:3]
    down, right = height // 8, width // 8
    shifts = [(0, 0)]
    if views == 10:
        shifts += [(y, x) for y in (-down, down) for x in (-right, right)]
    for y, x in shifts:
        shifted = images
        if (y, x) != (0, 0):
            rows = torch.arange(height, device=images.device) + y
            columns = torch.arange(width, device=images.device) + x
            shifted = images[:, rows.clamp(0, height - 1)]
            shifted = shifted[:, :, columns.clamp(0, width - 1)]
        yield shifted
        if views > 1:
            yield shifted.flip(2)


@torch.no_grad()
def forward(
    backbone: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    preprocessing: Preprocessing,
    views: int,
    bf16: bool,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the float32 features of every batch, on the processor, and its rows.

    The mode of each module is put back when the batches are over.
    """
    first = next(backbone.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    training = [module for module in backbone.modules() if module.training]
    backbone.eval()
    try:
        for images, rows in batches:
            total: Any = 0
            for view in views_of(images.to(device, non_blocking=True), views):
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    features = backbone(preprocessing.normalize(view))
                if features.ndim != 2:
                    raise ValueError(
                        "The backbone must give features [n_images, n_features]; it "
                        f"gave shape {list(features.shape)}. Pool them first."
                    )
                total = total + features.float()
            yield (total / views).cpu(), rows
    finally:
        for module in training:
            module.training = True
