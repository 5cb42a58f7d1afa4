"""Images, networks and settings so small that a whole training takes milliseconds."""

import numpy as np
from torch import nn

from headtail.datasets import ImageSet, Preprocessing
from headtail.training import (
    Backbone,
    ImageClassifier,
    Optimization,
    Schedule,
    new_head,
    train,
)

PLAIN = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def blotches(counts, *, labels=None, seed=0, names=None):
    """Return 8 by 8 noise with a bright 2 by 2 blotch whose place tells the class."""
    rng = np.random.default_rng(seed)
    which = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    images = rng.integers(0, 90, (len(which), 8, 8, 3), dtype=np.uint8)
    for image, place in zip(images, which, strict=True):
        row, column = divmod(int(place), 4)
        image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 160
    labels = np.arange(len(counts)) if labels is None else np.asarray(labels)
    return ImageSet(images, labels[which], names)


def backbone(norm="group", dropout=0.0, n_features=16):
    """Return an untrained backbone, always the same."""
    rng = np.random.default_rng(1)
    norms = {"group": nn.GroupNorm(2, 8), "batch": nn.BatchNorm2d(8)}
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        norms[norm],
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(128, n_features),
        nn.ReLU(),
    )
    for layer in (network[0], network[6]):
        values = rng.normal(0, layer.weight[0].numel() ** -0.5, layer.weight.shape)
        layer.weight.data.copy_(layer.weight.new_tensor(values))
        nn.init.zeros_(layer.bias)
    return Backbone(
        network,
        name="tiny",
        n_features=n_features,
        image_size=None,
        crop_fraction=1.0,
        **PLAIN,
    )


def network(n_classes=4, kind="linear", *, classes=None, **options):
    """Return an untrained network, always the same."""
    head = new_head(kind, 16, n_classes, classes=classes)
    return ImageClassifier(backbone(**options), head, Preprocessing(**PLAIN))


def trained(data, validation=None, folder=None, *, model=None, n_epochs=3, **options):
    """Train a new network with usual settings; return it and the rows of its log."""
    model = network(len(np.unique(data.labels))) if model is None else model
    usual = {
        "optimization": Optimization(learning_rate=0.1, batch_size=8),
        "schedule": Schedule(n_epochs=n_epochs),
    }
    rows = train(model, data, validation, folder, **(usual | options))
    return model, rows
