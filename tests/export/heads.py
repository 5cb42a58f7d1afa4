"""Heads of every kind, alone and within each other: five classes, six features."""

import torch

from headtail.heads import (
    AffineHead,
    CausalNormHead,
    CosineHead,
    DisAlignHead,
    EnsembleHead,
    LinearHead,
    WhitenedHead,
)

N_CLASSES, N_FEATURES = 5, 6


class Drawn:
    """Draws parts of heads, one after the other."""

    def __init__(self, dtype):
        self.generator = torch.Generator().manual_seed(0)
        self.dtype = dtype

    def numbers(self, *shape):
        return torch.randn(*shape, generator=self.generator, dtype=self.dtype)

    @property
    def weight(self):
        return self.numbers(N_CLASSES, N_FEATURES)

    @property
    def row(self):
        return self.numbers(N_CLASSES)

    @property
    def vector(self):
        return self.numbers(N_FEATURES)

    def linear(self, **options):
        return LinearHead(self.weight, self.row, **options)

    def cosine(self):
        return CosineHead(self.weight, 7.0)

    def causal(self):
        return CausalNormHead(self.weight, self.vector, n_chunks=3)

    def affine(self, head):
        return AffineHead(head, self.row, self.row)

    def disalign(self, head):
        return DisAlignHead(head, self.row, self.row, self.vector)

    def whitened(self, head, **options):
        map = self.numbers(N_FEATURES, N_FEATURES)
        return WhitenedHead(head, map, self.vector, **options)


STACKED = {
    "linear": lambda d: d.linear(),
    "linear without bias": lambda d: LinearHead(d.weight),
    "linear, centered and normalised": lambda d: d.linear(
        center=d.vector, normalize=True
    ),
    "cosine": lambda d: d.cosine(),
    "causal-norm": lambda d: d.causal(),
    "affine": lambda d: d.affine(d.cosine()),
    "affine of linear": lambda d: d.affine(d.linear(normalize=True)),
    "affine of causal-norm": lambda d: d.affine(d.affine(d.causal())),
    "whitened": lambda d: d.whitened(d.cosine(), normalize=True),
    "affine of whitened": lambda d: d.affine(d.whitened(d.linear(center=d.vector))),
    "ensemble": lambda d: EnsembleHead([d.linear(), LinearHead(d.weight)]),
    "ensemble of one": lambda d: EnsembleHead([d.linear()]),
    "ensemble of directions": lambda d: EnsembleHead(
        [d.cosine(), d.linear(normalize=True), d.affine(d.cosine())]
    ),
    "ensemble of causal-norm": lambda d: EnsembleHead([d.causal(), d.causal()]),
    "nested ensemble": lambda d: EnsembleHead(
        [EnsembleHead([d.linear(), d.linear()]), d.linear()]
    ),
    "whitened ensemble": lambda d: d.whitened(
        EnsembleHead([d.cosine(), d.linear(normalize=True)])
    ),
}
# Not linear in the same features.
OTHERS = {
    "disalign": lambda d: d.disalign(d.cosine()),
    "disalign of ensemble": lambda d: d.disalign(
        EnsembleHead([d.causal(), d.linear()])
    ),
    "ensemble of different features": lambda d: EnsembleHead([d.linear(), d.cosine()]),
    "ensemble of different centers": lambda d: EnsembleHead(
        [d.linear(center=d.vector), d.linear(center=d.vector)]
    ),
    "ensemble of a center and a direction": lambda d: EnsembleHead(
        [d.linear(center=d.vector), d.linear(normalize=True)]
    ),
    "ensemble of different chunks": lambda d: EnsembleHead([d.causal(), d.cosine()]),
    "ensemble with disalign": lambda d: EnsembleHead(
        [d.disalign(d.linear()), EnsembleHead([d.linear(), d.linear()])]
    ),
    "affine of ensemble": lambda d: d.affine(EnsembleHead([d.linear(), d.linear()])),
    "whitened disalign": lambda d: d.whitened(d.disalign(d.linear()), normalize=True),
}


def make(name, dtype=torch.float32):
    return {**STACKED, **OTHERS}[name](Drawn(dtype))
