"""Augmented batches of an epoch: the same whatever process or worker reads them."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from headtail.datasets import BatchReader, ImageSet, Preprocessing, read_ahead
from headtail.samplers import ClassSampler
from headtail.training.augmentation import Augmentation

__all__ = ["EpochLoader", "seed_of"]

Batch = tuple[int, list[int]]


def seed_of(*parts: int) -> int:
    """Mix numbers into one seed; neighbouring numbers give unrelated seeds.

    Unlike products or sums of seeds, epoch 0 differs from seed to seed.
    """
    mixed = 0
    for part in parts:
        # splitmix64's finaliser.
        mixed = (mixed ^ part) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return mixed >> 1


class _SeededBatches(Sampler[Batch]):
    """The batches of an epoch, each with the seed of its augmentation."""

    def __init__(self, sampler: ClassSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        self.epoch = 0

    def __len__(self) -> int:
        whole, left = divmod(len(self.sampler), self.batch_size)
        return max(whole + (left > 1), 1)

    def __iter__(self) -> Iterator[Batch]:
        self.sampler.set_epoch(self.epoch)
        draws = list(self.sampler)
        for step in range(len(self)):
            seed = seed_of(self.sampler.seed, self.epoch, step, self.sampler.rank)
            # One example left over goes with the batch before it: batch norm may need
            # two.
            last = step == len(self) - 1
            stop = None if last else (step + 1) * self.batch_size
            yield seed, draws[step * self.batch_size : stop]


class _Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Batches read and changed at random, by their own seed alone."""

    def __init__(
        self, data: ImageSet, preprocessing: Preprocessing, augmentation: Augmentation
    ) -> None:
        each = augmentation.of_one(preprocessing)
        as_they_are = preprocessing.size is None and each == preprocessing.prepare
        self.reader = BatchReader(data, None if as_they_are else each)
        self.augmentation = augmentation

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        seed, rows = batch
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it would seed the accelerators' dropout as well.
            generator = torch.default_generator.manual_seed(seed)
            images, kept = self.reader[rows]
            return self.augmentation.of_batch(images, generator), kept


class EpochLoader:
    """Augmented uint8 batches of any epoch, with the indices of their examples."""

    def __init__(
        self,
        data: ImageSet,
        sampler: ClassSampler,
        batch_size: int,
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        n_workers: int,
    ) -> None:
        self.batch_size = batch_size
        self._batches = _SeededBatches(sampler, batch_size)
        self._images = _Augmented(data, preprocessing, augmentation)
        self._n_workers = n_workers

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images and the indices of every batch of an epoch."""
        self._batches.epoch = epoch
        return read_ahead(self._images, self._batches, self._n_workers)
