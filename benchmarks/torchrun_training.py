"""Images per second of training with `torchrun`: one process beside two.

``python -m benchmarks torchrun_training``. Every process has one thread, so two use
two cores. On a machine with several GPUs the same command measures those.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import write
from headtail.datasets import ImageSet
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
IMAGES, BATCH, CLASSES = 2048, 128, 100


def epoch_seconds(fabric: Any) -> float:
    """Train one epoch and return its seconds."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
    data = ImageSet(pixels, np.arange(IMAGES) % CLASSES)
    model = ImageClassifier(build_backbone("resnet32"), new_head("linear", 64, CLASSES))
    begin = time.perf_counter()
    train(
        model,
        data,
        optimization=Optimization(learning_rate=0.1, batch_size=BATCH),
        schedule=Schedule(n_epochs=1),
        fabric=fabric,
    )
    return time.perf_counter() - begin


def worker(output: Path) -> None:
    """Time epochs in one of the processes; the first writes what came out."""
    fabric = make_fabric()
    fabric.launch()
    epoch_seconds(fabric)
    seconds = [epoch_seconds(fabric) for _ in range(REPEATS)]
    if fabric.is_global_zero:
        output.write_text(json.dumps(seconds))


def started(n_processes: int) -> float:
    """Return the median seconds of an epoch of so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "seconds.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={n_processes}", "-m"]
        command += ["benchmarks.torchrun_training", "--worker", str(output)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment)
        return statistics.median(json.loads(output.read_text()))


def main() -> None:
    """Print images per second and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", type=Path)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker)
        return
    most = max(2, torch.cuda.device_count())
    seconds = {n: started(n) for n in (1, most)}
    result = {
        "images_per_s": {n: round(IMAGES / s, 1) for n, s in seconds.items()},
        "ratio": round(seconds[1] / seconds[most], 2),
        "processes": most,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    for n, rate in result["images_per_s"].items():
        print(f"{n} processes: {rate:,.0f} images/s")
    print(f"{most} processes to 1: {result['ratio']:.2f} of the rate (at best {most})")
    write("torchrun_training", result)


if __name__ == "__main__":
    main()
