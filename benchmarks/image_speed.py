"""How well loading hides behind the network: training and extraction, as ratios.

``python -m benchmarks image_speed``. Extraction's rate is compared with that of the
backbone's forward passes alone on tensors in memory, training's with a plain loop of
the same steps on tensors in memory, in one run.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.common import write
from headtail.datasets import ImageSet, Preprocessing, image_folder
from headtail.features import extract_to_folder
from headtail.training import (
    ImageClassifier,
    Optimization,
    Schedule,
    build_backbone,
    make_fabric,
    new_head,
    train,
)

REPEATS = 3


def ratio(ours: Callable[[], float], alone: Callable[[], float]) -> dict[str, Any]:
    """Return the seconds of both and the median of their ratios, taken turn by turn."""
    ours(), alone()
    pairs = [(ours(), alone()) for _ in range(REPEATS)]
    return {
        "ours_s": statistics.median(a for a, _ in pairs),
        "alone_s": statistics.median(b for _, b in pairs),
        "rate_ratio": statistics.median(b / a for a, b in pairs),
    }


def timed(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def extraction(
    name: str, data: ImageSet, preprocessing: Preprocessing, n_workers: int, batch: int
) -> dict[str, Any]:
    """Compare extraction to a folder with forward passes on ready tensors."""
    backbone = build_backbone(name).eval().to(memory_format=torch.channels_last)
    ready = np.stack([preprocessing.prepare(data.images[i]) for i in range(len(data))])
    tensors = preprocessing.normalize(torch.from_numpy(ready))
    batches = tensors.to(memory_format=torch.channels_last).split(batch)

    @torch.no_grad()
    def alone() -> None:
        for images in batches:
            backbone(images)

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return timed(
                lambda: extract_to_folder(
                    backbone,
                    data,
                    Path(folder) / "features",
                    preprocessing=preprocessing,
                    batch_size=batch,
                    n_workers=n_workers,
                )
            )

    result = ratio(ours, lambda: timed(alone))
    return {**result, "images": len(data), "images_per_s": len(data) / result["ours_s"]}


def jpegs(folder: Path, n_images: int) -> ImageSet:
    """Write smooth random photographs, 400 by 300 pixels, and read the folder."""
    generator = np.random.default_rng(0)
    (folder / "class").mkdir()
    for i in range(n_images):
        coarse = generator.integers(0, 256, (12, 16, 3), np.uint8)
        image = Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC)
        image.save(folder / "class" / f"{i:04d}.jpg", quality=90)
    return image_folder(folder)


def training() -> dict[str, Any]:
    """Compare an epoch of `train` with a plain loop over ready batches."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4096, 32, 32, 3), np.uint8)
    data = ImageSet(images, np.arange(4096) % 100)
    batches = data.images.reshape(32, 128, 32, 32, 3)
    labels = torch.from_numpy(data.labels).split(128)

    def ours() -> float:
        model = ImageClassifier(build_backbone("resnet32"), new_head("linear", 64, 100))
        return timed(
            lambda: train(
                model,
                data,
                optimization=Optimization(learning_rate=0.1, batch_size=128),
                schedule=Schedule(n_epochs=1),
                fabric=make_fabric("cpu", bf16=True),
            )
        )

    def alone() -> float:
        model = nn.Sequential(build_backbone("resnet32"), nn.Linear(64, 100))
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=5e-4)
        normalize = Preprocessing().normalize
        ready = [normalize(torch.from_numpy(batch)) for batch in batches]

        def loop() -> None:
            for inputs, targets in zip(ready, labels, strict=True):
                with torch.autocast("cpu", torch.bfloat16):
                    loss = nn.functional.cross_entropy(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return timed(loop)

    result = ratio(ours, alone)
    return {**result, "images_per_s": 4096 / result["ours_s"]}


def main() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), np.uint8)
    small = ImageSet(pixels[:2048], np.zeros(2048, np.int64))
    result: dict[str, Any] = {"threads": torch.get_num_threads()}
    result["extract arrays, resnet32"] = extraction(
        "resnet32", small, Preprocessing(), 0, 256
    )
    with tempfile.TemporaryDirectory() as folder:
        photos = jpegs(Path(folder), 64)
        large = Preprocessing(size=224, resize=256)
        for n_workers in (0, 1):
            result[f"extract JPEGs, resnet50, {n_workers} workers"] = extraction(
                "resnet50", photos, large, n_workers, 32
            )
    result["train, resnet32"] = training()
    for name, row in result.items():
        if isinstance(row, dict):
            print(f"{name}: {row['rate_ratio']:.2f} of the rate alone")
    write("image_speed", result)


if __name__ == "__main__":
    main()
