import pickle
from collections import Counter

import numpy as np
import pytest
import torch

from headtail.datasets import Preprocessing
from headtail.training import Augmentation
from headtail.training.augmentation import crop_and_flip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(n_images, height, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(
        rng.integers(1, 256, (n_images, height, width, 3)), dtype=torch.uint8
    )


def variants(image, padding, flip):
    """Return all that padding, cutting and mirroring can make of an image."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    found = {}
    for mirrored in (False, True)[: 1 + flip]:
        for top in range(2 * padding + 1):
            for left in range(2 * padding + 1):
                cut = padded[top : top + height, left : left + width]
                cut = cut[:, ::-1] if mirrored else cut
                found[cut.tobytes()] = (mirrored, top, left)
    return found


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(("padding", "shape"), [(2, (5, 5)), (1, (3, 6)), (0, (4, 2))])
def test_every_image_is_padded_cut_and_mirrored(padding, shape, flip):
    images = random_images(600, *shape)
    changed = crop_and_flip(images, padding, flip, seeded())
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    seen = Counter()
    for before, after in zip(images.numpy(), changed.numpy(), strict=True):
        seen[variants(before, padding, flip)[after.tobytes()]] += 1
    # All ways occur, the images being many, and none more than chance would have it.
    n_ways = (2 * padding + 1) ** 2 * (1 + flip)
    assert len(seen) == n_ways
    expected = 600 / n_ways
    assert max(seen.values()) <= expected + 5 * expected**0.5 + 1


def test_no_change_is_the_identity():
    images = random_images(4, 3, 3)
    assert Augmentation().of_batch(images, seeded()) is images
    # The padding is that of "pad" alone.
    assert Augmentation(padding=4).of_batch(images, seeded()) is images
    assert torch.equal(crop_and_flip(images, 0, False, seeded()), images)


def test_an_augmentation_of_batches_pads_cuts_and_mirrors():
    images = random_images(3, 8, 8)
    augmentation = Augmentation(crop="pad", padding=2, flip=True)
    changed = augmentation.of_batch(images, seeded(5))
    assert torch.equal(changed, crop_and_flip(images, 2, True, seeded(5)))
    mirrored = Augmentation(flip=True).of_batch(images, seeded(5))
    assert torch.equal(mirrored, crop_and_flip(images, 0, True, seeded(5)))


def test_without_crop_each_image_is_prepared_alone():
    preprocessing = Preprocessing(size=4)
    image = random_images(1, 9, 6)[0].numpy()
    for crop in ("none", "pad"):
        prepared = Augmentation(crop=crop).of_one(preprocessing)(image)
        np.testing.assert_array_equal(prepared, preprocessing.prepare(image))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_random_part_comes_in_the_size_asked_for(interpolation):
    change = Augmentation(crop="random-resized").of_one(
        Preprocessing(size=5, interpolation=interpolation)
    )
    # The red of a pixel tells its row, the green its column.
    rows, columns = np.mgrid[0:40, 0:60].astype(np.uint8)
    image = np.stack([rows * 4, columns * 4, np.full_like(rows, 7)], axis=2)
    torch.manual_seed(0)
    corners = set()
    for _ in range(20):
        part = change(image)
        assert part.shape == (5, 5, 3)
        assert part.dtype == np.uint8
        # A part of the image, neither turned nor mirrored, and nothing from outside.
        assert (part[..., 2] == 7).all()
        assert (np.diff(part[..., 0].astype(int), axis=0) >= 0).all()
        assert (np.diff(part[..., 1].astype(int), axis=1) >= 0).all()
        corners.add((int(part[0, 0, 0]), int(part[0, 0, 1])))
    assert len(corners) > 10


def test_colours_change_within_their_bound():
    image = np.full((4, 4, 3), 100, np.uint8)
    change = Augmentation(color_jitter=0.3).of_one(Preprocessing())
    torch.manual_seed(0)
    values = {int(change(image)[0, 0, 0]) for _ in range(40)}
    # On one grey, contrast and saturation change nothing: brightness alone remains.
    assert min(values) >= 69
    assert max(values) <= 130
    assert max(values) - min(values) > 30


def test_colours_change_after_the_preprocessing():
    image = np.zeros((9, 6, 3), np.uint8)
    change = Augmentation(crop="pad", color_jitter=0.5).of_one(Preprocessing(size=4))
    assert change(image).shape == (4, 4, 3)


def test_random_parts_need_a_size():
    with pytest.raises(ValueError, match=r'crop="random-resized" needs the size'):
        Augmentation(crop="random-resized").of_one(Preprocessing())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": "centre"}, r"crop must be 'none', .*; got 'centre'"),
        ({"padding": -1}, r"padding must be at least 0; got -1"),
        ({"color_jitter": 1.5}, r"color_jitter must be in \[0, 1\]; got 1.5"),
        ({"color_jitter": -0.1}, r"color_jitter must be in \[0, 1\]; got -0.1"),
    ],
)
def test_bad_augmentations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_a_change_can_be_given_to_other_processes():
    # Where processes are spawned, their work is pickled.
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    change = Augmentation(crop="random-resized", color_jitter=0.2).of_one(
        Preprocessing(size=6)
    )
    again = pickle.loads(pickle.dumps(change))
    torch.manual_seed(0)
    first = change(image)
    torch.manual_seed(0)
    np.testing.assert_array_equal(again(image), first)
