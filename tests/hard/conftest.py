import numpy as np
import pytest

from headtail.datasets import Preprocessing
from headtail.training import ImageClassifier, build_backbone, new_head
from tests.cli.conftest import files, head, run
from tests.hard.commands import COMPARE

__all__ = ["files", "head", "run"]


@pytest.fixture(autouse=True)
def _short(short_trainings):
    """Every test here."""


@pytest.fixture
def place(head, run, tmp_path):
    """Make what `COMMANDS` need; return the folder."""
    part = Preprocessing(mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
    backbone = build_backbone("resnet20", seed=4)
    network = ImageClassifier(backbone, new_head("linear", 64, 2), part)
    network.save(tmp_path / "network.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=[0, 0, 1, 1, 1])
    assert run(*COMPARE, "-o", "earlier")[0] == 0
    return tmp_path
