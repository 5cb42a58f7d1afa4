"""Memory and time of fits from shards, beside the same fits from memory."""

import ctypes
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import Peak, write
from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    FeatureSet,
    LinearClassifier,
    NearestClassMeanClassifier,
)

SHARDS, ROWS, FEATURES, CLASSES = 24, 16_384, 256, 200
SPREAD = 3.0  # of the examples around their class's centre, of spread 1


def class_centers() -> np.ndarray:
    """Return a centre for every class."""
    return np.random.default_rng(0).normal(size=(CLASSES, FEATURES)).astype("f4")


def drawn(seed: int, centers: np.ndarray, by_class: bool) -> FeatureSet:
    """Draw a shard: of all classes, long-tailed, or of its own few classes."""
    rng = np.random.default_rng(seed)
    if by_class:
        few = np.arange(CLASSES)[seed % SHARDS :: SHARDS]
        labels = rng.choice(few, ROWS)
    else:
        shares = 1 / np.arange(1, CLASSES + 1)
        labels = rng.choice(CLASSES, ROWS, p=shares / shares.sum())
    noise = rng.normal(size=(ROWS, FEATURES)).astype("f4")
    return FeatureSet(centers[labels] + SPREAD * noise, labels)


def fitted(method, data: FeatureSet) -> tuple[float, float]:
    """Return seconds and MiB beyond what was there before."""
    # What was freed before goes back to the system, or it would hide what is taken.
    ctypes.CDLL(None).malloc_trim(0)
    watch = Peak()
    watch.start()
    begin = time.perf_counter()
    method.fit(data.features, data.targets)
    seconds = time.perf_counter() - begin
    watch.running = False
    watch.join()
    return seconds, watch.peak - watch.base


def main() -> None:
    """Fit from shards and from memory; print memory, ratios and recalls."""
    centers = class_centers()
    test = drawn(10**6, centers, by_class=False)
    methods = {
        "ncm": NearestClassMeanClassifier(),
        "compositional on a trained head": CompositionalClassifier(
            CosineHead(torch.from_numpy(centers))
        ),
        "linear, 2 epochs": LinearClassifier(epochs=2, batch_size=512, random_state=0),
        "cosine, 2 epochs": CosineClassifier(
            "sqrt", epochs=2, batch_size=512, random_state=0
        ),
    }
    result: dict[str, dict[str, float]] = {name: {} for name in methods}
    for layout in ("mixed", "by class"):
        with tempfile.TemporaryDirectory() as folder:
            for shard in range(SHARDS):
                part = drawn(shard, centers, by_class=layout == "by class")
                part.save(Path(folder) / f"part-{shard:05d}.safetensors")
            data = FeatureSet.load(folder, in_memory=False)
            for name, method in methods.items():
                if layout == "by class" and "epochs" not in name:
                    continue  # what is summed does not mind the order
                seconds, extra = fitted(method, data)
                row = result[name]
                row[f"{layout}: seconds"] = round(seconds, 2)
                row[f"{layout}: extra_mib"] = round(extra)
                row[f"{layout}: accuracy"] = round(
                    100 * method.score(test.features, test.targets), 2
                )
            whole = FeatureSet.load(folder, in_memory=True)
            for name, method in methods.items():
                if layout == "by class" and "epochs" not in name:
                    continue
                row = result[name]
                seconds, _ = fitted(method, whole)
                row[f"{layout}: ratio to memory"] = round(
                    row[f"{layout}: seconds"] / seconds, 2
                )
                row[f"{layout}: accuracy from memory"] = round(
                    100 * method.score(test.features, test.targets), 2
                )
            del whole, data
    total = SHARDS * ROWS * FEATURES * 4 / 2**20
    print(f"{SHARDS} shards, {total:,.0f} MiB of features, {CLASSES} classes")
    for name, row in result.items():
        print(name)
        for key, value in row.items():
            print(f"  {key}: {value}")
    write("out_of_core", {"features_mib": round(total), "fits": result})


if __name__ == "__main__":
    main()
