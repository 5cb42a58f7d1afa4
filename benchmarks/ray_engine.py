"""The engines of `headtail.scale` side by side, and the price of a lost node.

``python -m benchmarks ray_engine``: statistics over 40 shards and extraction of 12
shards of images, by the local engine, on a Ray cluster of three nodes of one processor
each on this machine, and there with one node killed halfway. The cluster runs already,
and one call before has had its processes import the library. Shards lie in the page
cache.
"""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import write
from headtail import FeatureSet
from headtail.scale import extract_images, gather_statistics
from headtail.training import build_backbone

N_NODES = 3
N_SHARDS, SHARD_ROWS, N_FEATURES, N_CLASSES = 40, 8192, 512, 1000
N_IMAGE_SHARDS, IMAGES_PER_SHARD = 12, 256
NODE = {"num_cpus": 1, "object_store_memory": 200 * 2**20}
NOTICE = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}


def timed(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def inputs(folder: Path) -> None:
    """Write shards of features and of images."""
    generator = np.random.default_rng(0)
    (folder / "features").mkdir()
    (folder / "images").mkdir()
    for number in range(N_SHARDS):
        rows = generator.standard_normal((SHARD_ROWS, N_FEATURES), np.float32)
        labels = generator.integers(0, N_CLASSES, SHARD_ROWS)
        FeatureSet(rows, labels).save(folder / f"features/{number:02}.safetensors")
    for number in range(N_IMAGE_SHARDS):
        shape = (IMAGES_PER_SHARD, 32, 32, 3)
        images = generator.integers(0, 256, shape, np.uint8)
        labels = generator.integers(0, 10, IMAGES_PER_SHARD)
        np.savez(folder / f"images/{number:02}.npz", images=images, labels=labels)


@contextlib.contextmanager
def killing(cluster: Any, after_s: float) -> Iterator[None]:
    """Kill a node after so many seconds; put another in its place in the end."""
    node = next(iter(cluster.worker_nodes))
    timer = threading.Timer(
        after_s, lambda: cluster.remove_node(node, allow_graceful=False)
    )
    timer.start()
    try:
        yield
    finally:
        timer.join()
    cluster.add_node(**NODE)
    cluster.wait_for_nodes()


def compared(
    cluster: Any, local: Callable[[], Any], on_ray: Callable[[], Any]
) -> dict[str, float]:
    """Return the seconds of both engines, and on Ray with a node killed halfway."""
    on_ray()
    local_s, ray_s = timed(local), timed(on_ray)
    with killing(cluster, ray_s / 2):
        killed_s = timed(on_ray)
    return {
        "local_s": local_s,
        "ray_s": ray_s,
        "killed_s": killed_s,
        "ray_over_local": ray_s / local_s,
        "killed_over_ray": killed_s / ray_s,
    }


def main() -> None:
    # Ray looks at these when it is imported. The path of a socket must be short.
    sockets = tempfile.mkdtemp(prefix="ht", dir="/tmp")
    os.environ |= {"RAY_TMPDIR": sockets, "RAY_USAGE_STATS_ENABLED": "0"}
    import ray
    from ray.cluster_utils import Cluster

    torch.set_num_threads(1)
    backbone = build_backbone("resnet20")
    result: dict[str, Any] = {
        "nodes": N_NODES,
        "ray": ray.__version__,
        "statistics_shape": [N_SHARDS, SHARD_ROWS, N_FEATURES, N_CLASSES],
        "extraction_shape": [N_IMAGE_SHARDS, IMAGES_PER_SHARD, 32, 32],
    }
    with tempfile.TemporaryDirectory() as name:
        folder, numbers = Path(name), iter(range(100))
        inputs(folder)

        def statistics(engine: str) -> None:
            gather_statistics(folder / "features", engine=engine)

        def extraction(engine: str) -> None:
            extract_images(
                backbone,
                folder / "images",
                folder / f"out-{next(numbers)}",
                engine=engine,
                device="cpu",
            )

        head = {**NODE, "include_dashboard": False, "_system_config": NOTICE}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(N_NODES - 1):
                cluster.add_node(**NODE)
            ray.init(address=cluster.address, log_to_driver=False)
            for work in (statistics, extraction):
                result[work.__name__] = compared(
                    cluster, lambda w=work: w("local"), lambda w=work: w("ray")
                )
        finally:
            ray.shutdown()
            cluster.shutdown()
            shutil.rmtree(sockets, ignore_errors=True)
    for work in ("statistics", "extraction"):
        row = result[work]
        print(
            f"{work}: Ray / local {row['ray_over_local']:.2f}, "
            f"a node killed / none {row['killed_over_ray']:.2f}"
        )
    write("ray_engine", result)


if __name__ == "__main__":
    main()
