"""Stage 1 on CIFAR-100-LT's images: ResNet-32, two heads by three samplings.

``python -m benchmarks image_backbones`` trains what is not there yet and keeps every
run, with the features of all splits, under ``benchmarks/runs/`` (not in git). A name
such as ``cosine-sqrt`` trains that one alone: two at a time, one thread each, is the
fastest on two cores.
"""

import sys
from pathlib import Path

from benchmarks.common import DATA
from headtail.datasets import ImageSet, image_arrays
from headtail.training import (
    Augmentation,
    ImageClassifier,
    Optimization,
    Schedule,
    build_backbone,
    make_fabric,
    new_head,
    train,
)

RUNS = Path(__file__).parent / "runs"
HEADS = ("linear", "cosine")
SAMPLINGS = ("instance", "sqrt", "class-aware")
SPLITS = ("train", "val", "test")
N_EPOCHS = 30


def images(split: str) -> ImageSet:
    """Load a split of the shared images."""
    path = DATA / "cifar100-lt-images" / f"{split}.npz"
    if not path.exists():
        raise SystemExit("skipped: the shared CIFAR-100-LT images are not here")
    return image_arrays(path)


def train_one(head: str, sampling: str, seed: int = 0) -> Path:
    """Train one network, or what is left of it; return the folder of its run."""
    folder = RUNS / f"resnet32-{head}-{sampling}-{seed}"
    folder.parent.mkdir(exist_ok=True)
    data = images("train")
    backbone = build_backbone("resnet32", seed=seed)
    model = ImageClassifier(backbone, new_head(head, 64, 100, seed=seed))
    train(
        model,
        data,
        images("val"),
        folder,
        optimization=Optimization(learning_rate=0.05, batch_size=64, weight_decay=5e-4),
        schedule=Schedule(n_epochs=N_EPOCHS, warmup_epochs=1),
        sampling=sampling,
        augmentation=Augmentation(crop="pad", flip=True),
        seed=seed,
        fabric=make_fabric("cpu", bf16=True),
    )
    return folder


def main() -> None:
    """Train all, or those named."""
    names = sys.argv[1:] or [f"{h}-{s}" for h in HEADS for s in SAMPLINGS]
    for name in names:
        head, _, sampling = name.partition("-")
        folder = train_one(head, sampling)
        print(
            f"{name}: {(folder / 'log.csv').read_text().splitlines()[-1]}", flush=True
        )


if __name__ == "__main__":
    main()
