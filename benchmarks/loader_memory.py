"""Memory that loaders take beside the bounds of docs/reliability.md.

``python -m benchmarks loader_memory``. Every file is loaded in a process of its own.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import Peak, write
from headtail import CosineHead, FeatureSet, load_head
from headtail.datasets import read_list
from headtail.statistics import ClassStatistics, load_statistics, save_statistics

ROWS, FEATURES, CLASSES, LINES = 100_000, 256, 100, 500_000
LOADERS: dict[str, Callable[[Path], Any]] = {
    "features": FeatureSet.load,
    "list": read_list,
    "head": load_head,
    "statistics": load_statistics,
}


def written(folder: Path) -> dict[str, tuple[str, Path, int]]:
    """Write a file of every kind; return loader, path and the bytes it unpacks to."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(ROWS, FEATURES)).astype("f4")
    labels = rng.integers(CLASSES, size=ROWS)
    names = np.array([f"class {label}" for label in labels])
    small = rng.integers(0, 256, size=features.shape, dtype=np.uint8)
    for suffix in (".npz", ".safetensors", ".parquet"):
        FeatureSet(features, labels).save(folder / f"features{suffix}")
    np.savez_compressed(folder / "packed.npz", features=features, labels=names)
    scalars = {"scale": np.array(0.5), "zero_point": np.array(3)}
    np.savez_compressed(folder / "8-bit.npz", features=small, labels=labels, **scalars)
    lines = "".join(f"{i}.jpg {i % CLASSES}\n" for i in range(LINES))
    (folder / "list.txt").write_text(lines)
    CosineHead(torch.randn(ROWS, FEATURES), 16.0).save(folder / "head.safetensors")
    statistics = ClassStatistics(ROWS // 4, FEATURES)
    save_statistics(folder / "statistics.safetensors", statistics)
    size = features.nbytes + labels.nbytes
    unpacked = {
        "features.npz": ("features", size),
        "features.safetensors": ("features", size),
        "features.parquet": ("features", size),
        "packed.npz": ("features", features.nbytes + names.nbytes),
        "8-bit.npz": ("features", small.nbytes + labels.nbytes),
        "list.txt": ("list", len(lines)),
        "head.safetensors": ("head", ROWS * FEATURES * 4),
        "statistics.safetensors": ("statistics", ROWS // 4 * FEATURES * 16),
    }
    return {
        name: (loader, folder / name, n_bytes)
        for name, (loader, n_bytes) in unpacked.items()
    }


def measured(loader: str, path: Path) -> float:
    """Return the MiB that loading takes in this process, beyond what was there."""
    watch = Peak()
    watch.start()
    kept = LOADERS[loader](path)
    watch.running = False
    watch.join()
    del kept
    return watch.peak - watch.base


def main() -> None:
    """Load every file in a process of its own and print what it took."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1], Path(sys.argv[2]))))
        return
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (loader, path, n_bytes) in written(Path(folder)).items():
            command = [sys.executable, "-m", "benchmarks.loader_memory", loader, path]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            extra = float(done.stdout)
            result[name] = {
                "extra_mib": round(extra),
                "file_mib": round(path.stat().st_size / 2**20, 1),
                "unpacked_mib": round(n_bytes / 2**20, 1),
                "multiple": round(extra / (n_bytes / 2**20), 2),
            }
            row = result[name]
            print(
                f"{name}: {row['extra_mib']} MiB, {row['multiple']} times the "
                f"{row['unpacked_mib']} MiB that it holds"
            )
    write("loader_memory", {"loads": result})


if __name__ == "__main__":
    main()
