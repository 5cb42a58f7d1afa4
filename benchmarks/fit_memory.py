"""Memory that a fit from a memory-mapped file takes beyond what was there before."""

import tempfile
from pathlib import Path

import torch

from benchmarks.common import Peak, imagenet_lt_features, write
from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    FeatureSet,
    NearestClassMeanClassifier,
)

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
