"""Count-aware transfer of ImageNet-LT's shape against the products of a covariance."""

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.common import Peak, imagenet_lt_features, median_time, write
from headtail import CountAwareTransferClassifier
from headtail.methods.transfer import count_aware_transfer as module

BLOCK = 4096


def main() -> None:
    """Time the fit and its parts, and what it takes of memory beside the features."""
    features, labels = imagenet_lt_features()
    n_features = features.shape[1]

    def products() -> None:
        total = torch.zeros(n_features, n_features)
        for block in features.split(BLOCK):
            total += block.T @ block

    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            result = function(*args, **options)
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begin
            return result

        return call

    classifier = CountAwareTransferClassifier(random_state=0)
    module.WithinClassScatter.update = timed(  # type: ignore[method-assign]
        "covariance", module.WithinClassScatter.update
    )
    module.whitening_map = timed("eigenvectors", module.whitening_map)
    module.choose_mixture = timed("simulated tail", module.choose_mixture)
    module.train_balanced = timed("training", module.train_balanced)
    watch = Peak()
    watch.start()
    begin = time.perf_counter()
    classifier.fit(features, labels.numpy())
    whole = time.perf_counter() - begin
    watch.running = False
    watch.join()
    plain = median_time(products, 3)
    memory = watch.peak - watch.base
    print(f"fit / covariance products: {whole / plain:.2f} (target: at most 3)")
    for name, part in seconds.items():
        print(f"  {name}: {part / plain:.2f}")
    print(f"memory beside the features: {memory:.0f} MiB")
    write(
        "count_aware_speed",
        {
            "shape": [*features.shape, int(labels.max()) + 1],
            "fit_over_products": whole / plain,
            "parts_over_products": {k: v / plain for k, v in seconds.items()},
            "seconds": {"products": plain, "fit": whole, **seconds},
            "extra_mib": memory,
        },
    )


if __name__ == "__main__":
    main()
