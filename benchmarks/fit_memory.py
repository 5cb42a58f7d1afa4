"""Memory that a fit from a memory-mapped file takes beyond what was there before."""

import tempfile
import threading
import time
from pathlib import Path

import torch

from benchmarks.common import imagenet_lt_features, write
from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    FeatureSet,
    NearestClassMeanClassifier,
)


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


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "features.npz"
    features, labels = imagenet_lt_features()
    FeatureSet(features, labels).save(path)
    shape = list(features.shape)
    del features, labels
    weight = torch.randn(1000, shape[1], generator=torch.Generator().manual_seed(0))
    methods = {
        "ncm": NearestClassMeanClassifier(),
        "compositional on a trained head": CompositionalClassifier(CosineHead(weight)),
        "compositional, base trained for one epoch": CompositionalClassifier(
            CosineClassifier(epochs=1)
        ),
    }
    result = {}
    for name, method in methods.items():
        data = FeatureSet.load(path)
        watch = Peak()
        watch.start()
        method.fit(data.features, data.targets)
        watch.running = False
        watch.join()
        result[name] = round(watch.peak - watch.base)
        print(f"{name}: {result[name]} MiB extra (target: under 1,000)")
write("fit_memory", {"shape": shape, "extra_mib": result})
