"""Compose 100,000 classes, every class a donor, without an array of all shares."""

import resource
import time

import torch

from benchmarks.common import write
from headtail import compose

N_CLASSES, N_FEATURES, N_BLOCK = 100_000, 512, 2_000
generator = torch.Generator().manual_seed(0)
prototypes = torch.randn(N_CLASSES, N_FEATURES, generator=generator)
weight = torch.randn(N_CLASSES, N_FEATURES, generator=generator)

begin = time.perf_counter()
compose(prototypes, weight, torch.ones(N_CLASSES, dtype=torch.bool))
whole = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

begin = time.perf_counter()
(prototypes[:N_BLOCK] @ weight.T) @ weight
products = (time.perf_counter() - begin) * N_CLASSES / N_BLOCK

print(f"peak memory of the process: {peak:.2f} GiB (target: under 4)")
print(f"compose / matrix products: {whole / products:.2f}")
write(
    "many_classes",
    {
        "shape": [N_CLASSES, N_FEATURES],
        "peak_gib": peak,
        "compose_over_products": whole / products,
        "seconds": {"compose": whole, "products": products},
    },
)
