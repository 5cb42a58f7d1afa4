import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from headtail.datasets import ImageSet

PIXELS = np.random.default_rng(0).integers(0, 256, (11, 9, 8, 3), dtype=np.uint8)


@pytest.fixture
def backbone():
    """Return a small network with statistics of its own; one part is frozen."""
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    generator = torch.Generator().manual_seed(0)
    for value in network.state_dict().values():
        if value.dtype == torch.float32:
            value.uniform_(-0.5, 0.5, generator=generator)
    network[1].running_var.abs_().add_(0.5)
    network.train()
    network[1].eval()
    return network


@pytest.fixture
def data():
    """Return eleven images of three classes."""
    labels = [2, 0, 2, 1, 0, 2, 1, 1, 0, 0, 2]
    return ImageSet(PIXELS, labels, ("ox", "yak", "zebu"))


@pytest.fixture
def paths(tmp_path):
    """Return the paths of the images as files; numbers 3, 4 and 10 are damaged."""
    paths = []
    for number, image in enumerate(PIXELS):
        paths.append(tmp_path / "images" / f"{number}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(paths[-1])
    for number in (3, 4, 10):
        paths[number].write_bytes(paths[number].read_bytes()[:99])
    return paths
