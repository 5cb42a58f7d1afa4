import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.datasets import ImageSet, Preprocessing
from headtail.samplers import ClassSampler
from headtail.training import Augmentation
from headtail.training.loading import EpochLoader, seed_of
from tests.training.tiny_runs import blotches

DATA = blotches([9, 5, 3])
PAD = Augmentation(crop="pad", padding=1, flip=True)
PARTS = Augmentation(crop="random-resized", flip=True, color_jitter=0.4)

# Newer Pythons warn of any fork in a process with threads, as DataLoader's is.
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def loader(augmentation=PAD, *, size=None, batch_size=4, n_workers=0, **options):
    sampler = ClassSampler(
        torch.from_numpy(DATA.labels), "instance", **({"n_epochs": 3} | options)
    )
    preprocessing = Preprocessing(size=size)
    return EpochLoader(
        DATA, sampler, batch_size, preprocessing, augmentation, n_workers
    )


def assert_same(first, second):
    assert len(first) == len(second)
    for (images, rows), (others, other_rows) in zip(first, second, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(rows, other_rows)


def test_an_epoch_shows_the_images_with_their_rows():
    epoch = loader(Augmentation())
    batches = list(epoch.epoch(0))
    # 17 examples: the one that is left over goes with the batch before it.
    assert [len(rows) for _, rows in batches] == [4, 4, 4, 5]
    assert len(epoch) == 4
    for images, rows in batches:
        np.testing.assert_array_equal(images.numpy(), DATA.images[rows.numpy()])
    assert sorted(torch.cat([rows for _, rows in batches]).tolist()) == list(range(17))


@forks
@pytest.mark.parametrize(("augmentation", "size"), [(PAD, None), (PARTS, 6)])
def test_the_number_of_workers_changes_nothing(augmentation, size):
    alone = loader(augmentation, size=size)
    helped = loader(augmentation, size=size, n_workers=2)
    for epoch in (0, 2):
        assert_same(list(alone.epoch(epoch)), list(helped.epoch(epoch)))


@pytest.mark.parametrize(("augmentation", "size"), [(PAD, None), (PARTS, 6)])
def test_same_seed_same_batches_whatever_was_drawn_before(augmentation, size):
    first = loader(augmentation, size=size, seed=3)
    expected = list(first.epoch(1))
    torch.manual_seed(99)
    again = loader(augmentation, size=size, seed=3)
    list(again.epoch(0))
    assert_same(list(again.epoch(1)), expected)
    # The first may be asked again, too.
    assert_same(list(first.epoch(1)), expected)


def places(*, epoch=0, rank=0, **options):
    """Return where a dot is moved to, by step and by place in the batch.

    All images are equal, so that only the seeds of their changes can tell them apart.
    """
    images = np.zeros((20, 8, 8, 3), np.uint8)
    images[:, 4, 4] = 255
    data = ImageSet(images, np.zeros(20, np.int64))
    sampler = ClassSampler(
        torch.from_numpy(data.labels), "instance", n_epochs=3, rank=rank, **options
    )
    padded = Augmentation(crop="pad", padding=3)
    batches = EpochLoader(data, sampler, 5, Preprocessing(), padded, 0).epoch(epoch)
    return [[int(image.argmax()) for image in images] for images, _ in batches]


def test_epochs_seeds_and_processes_change_the_images_otherwise():
    one = places(seed=0)
    assert one == places(seed=0)
    assert one != places(seed=0, epoch=1)
    assert one != places(seed=1)
    first, second = (places(seed=0, rank=rank, n_processes=2) for rank in (0, 1))
    assert first != second


def test_batches_of_an_epoch_are_not_changed_alike():
    first, *later = places()
    assert len(set(first)) > 1
    assert all(batch != first for batch in later)


def test_the_global_generator_is_left_as_it_was():
    epoch = loader(PARTS, size=6).epoch(0)
    # To begin, DataLoader draws a seed for its workers, whatever the data are.
    next(epoch)
    state = torch.get_rng_state()
    assert len(list(epoch)) == 3
    assert torch.equal(torch.get_rng_state(), state)


def test_crop_and_mirror_come_from_one_stream():
    # Two streams from one seed would tie what was cut to what was mirrored.
    calls = []
    augmentation = Augmentation(crop="random-resized", flip=True)
    object.__setattr__(
        augmentation,
        "of_batch",
        lambda images, generator: calls.append(generator) or images,
    )
    list(loader(augmentation, size=6).epoch(0))
    assert all(generator is torch.default_generator for generator in calls)
    assert len(calls) == 4


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=4))
def test_a_seed_fits_every_generator(parts):
    seed = seed_of(*parts)
    assert 0 <= seed < 2**63
    assert seed == seed_of(*parts)
    torch.Generator().manual_seed(seed)
    np.random.default_rng(seed)


def test_neighbouring_numbers_give_unrelated_seeds():
    seeds = [
        seed_of(s, e, b, r)
        for s in range(9)
        for e in range(9)
        for b in range(9)
        for r in (0, 1)
    ]
    assert len(set(seeds)) == len(seeds)
    # The first epoch differs from seed to seed, unlike with products of them.
    assert len({seed_of(s, 0) for s in range(1000)}) == 1000
    # Half of the 63 bits change from one to the next.
    flips = [(seed_of(s) ^ seed_of(s + 1)).bit_count() for s in range(500)]
    assert np.mean(flips) == pytest.approx(31.5, abs=1)


def test_the_order_of_numbers_matters():
    assert seed_of(1, 2) != seed_of(2, 1)
    assert seed_of(1) != seed_of(1, 0)
