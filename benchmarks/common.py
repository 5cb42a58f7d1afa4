"""What the benchmarks share: data, the machine, ratios and result files."""

import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from headtail import FeatureSet, __version__
from headtail.files import written_whole

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "foreign": "cifar100-lt-features",
    "native": "cifar100-lt-native-features",
    "plankton": "plankton-features",
}


def load(name: str, split: str) -> FeatureSet:
    """Load a split of one of the shared feature sets."""
    path = DATA / SETS[name] / f"{split}.npz"
    if not path.exists():
        raise SystemExit(f"skipped: the shared data set {SETS[name]} is not here")
    return FeatureSet.load(path)


def imagenet_lt_counts() -> np.ndarray:
    """Return ImageNet-LT's training counts: 1,000 classes, 5 to 1,280 examples."""
    path = DATA / "protocols" / "ImageNet_LT_train_class_counts.json"
    if not path.exists():
        raise SystemExit("skipped: ImageNet-LT's class counts are not here")
    return np.array(json.loads(path.read_text()))


def imagenet_lt_features(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random features of ImageNet-LT's shape, 115,846 by 2,048, and labels."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.from_numpy(imagenet_lt_counts())
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return torch.randn(len(labels), 2048, generator=generator), labels


def median_time(function: Callable[[], Any], repeats: int) -> float:
    """Return the median seconds of `repeats` calls after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def anonymous_mib() -> float:
    """Return this process's memory that is not the page cache of a mapped file."""
    status = Path("/proc/self/status").read_text()
    line = next(x for x in status.splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


class Peak(threading.Thread):
    """Sample memory until stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.base = self.peak = anonymous_mib()
        self.running = True

    def run(self) -> None:
        """Take the peak every 5 ms."""
        while self.running:
            self.peak = max(self.peak, anonymous_mib())
            time.sleep(0.005)


def write(name: str, result: dict[str, Any]) -> None:
    """Write a result with the machine's size and versions beside it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    result["machine"] = {
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "processor": platform.machine(),
    }
    result["versions"] = {
        "headtail": __version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }
    RESULTS.mkdir(exist_ok=True)
    with written_whole(RESULTS / f"{name}.json") as path:
        path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
