"""The demonstration: a small network for images of letters, and every method on it."""

from typing import NamedTuple

from headtail.datasets import Glyphs, ImageSet, exponential_counts, glyphs
from headtail.evaluation import Comparison
from headtail.features import FeatureSet, extract
from headtail.heads import Head
from headtail.training import (
    ImageClassifier,
    Optimization,
    Row,
    Schedule,
    build_backbone,
    make_fabric,
    new_head,
    train,
)
from headtail.workflow import TRAINED, compare, methods_on

__all__ = [
    "FULL",
    "QUICK",
    "DemoFeatures",
    "Size",
    "demo",
    "demo_features",
    "demo_images",
    "letters",
    "trained_network",
]

# Per image of a batch.
_RATE = 0.1 / 64


class Size(NamedTuple):
    """How many classes, images and epochs, and how hard the letters are.

    `python -m benchmarks demo_settings` shows other values, on validation images.
    """

    n_classes: int
    largest: int
    imbalance_ratio: float
    n_test: int
    hardness: float
    batch_size: int
    n_epochs: int


FULL = Size(120, 150, 50, 20, 0.85, 64, 12)
QUICK = Size(12, 60, 20, 10, 0.35, 16, 6)


def letters(size: Size, seed: int = 0, *, n_validation: int = 0) -> Glyphs:
    """Return the demonstration's images."""
    return glyphs(
        exponential_counts(size.n_classes, size.largest, size.imbalance_ratio),
        n_validation=n_validation,
        n_test=size.n_test,
        hardness=size.hardness,
        seed=seed,
    )


def trained_network(
    images: ImageSet,
    size: Size,
    seed: int = 0,
    *,
    validation: ImageSet | None = None,
) -> tuple[ImageClassifier, list[Row]]:
    """Return the demonstration's network, trained, and the log of its epochs."""
    backbone = build_backbone("resnet20", seed=seed)
    head = new_head("cosine", backbone.n_features, size.n_classes, seed=seed)
    model = ImageClassifier(backbone, head)
    log = train(
        model,
        images,
        validation,
        optimization=Optimization(
            learning_rate=_RATE * size.batch_size, batch_size=size.batch_size
        ),
        schedule=Schedule(n_epochs=size.n_epochs, warmup_epochs=1),
        sampling="sqrt",
        seed=seed,
        fabric=make_fabric("cpu", bf16=True),
    )
    return model, log


class DemoFeatures(NamedTuple):
    """Features of the training and the test images, and the head trained with them."""

    train: FeatureSet
    test: FeatureSet
    head: Head


def demo_features(seed: int = 0, *, quick: bool = False) -> DemoFeatures:
    """Train a ResNet-20 with a cosine head on long-tailed letters; extract features.

    Square-root sampling, 12 epochs, bfloat16. It takes about a minute on two cores.

    Parameters
    ----------
    seed
        Of the images and of the training.
    quick
        12 classes instead of 120, and plainer letters: seconds.
    """
    size = QUICK if quick else FULL
    data = letters(size, seed)
    model, _ = trained_network(data.train, size, seed)

    def features_of(images: ImageSet) -> FeatureSet:
        return extract(
            model.backbone, images, preprocessing=model.preprocessing, bf16=True
        )

    return DemoFeatures(features_of(data.train), features_of(data.test), model.head)


def demo_images(seed: int = 0, *, quick: bool = False) -> ImageSet:
    """Return the training images of `demo_features`."""
    return letters(QUICK if quick else FULL, seed).train


def demo(seed: int = 0, *, quick: bool = False) -> Comparison:
    """Compare every method of the registry with the trained head of `demo_features`.

    Methods that build on a classifier build on that head, see `methods_on`.
    """
    features = demo_features(seed, quick=quick)
    return compare(
        methods_on(features.head),
        features.train,
        features.test,
        reference=TRAINED,
        random_state=seed,
    )
