import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headtail.datasets import Preprocessing

SIDES = st.integers(1, 13)


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def reference(image, size, resize, kind):
    """Resize and crop with Pillow alone."""
    picture = Image.fromarray(image)
    if picture.width <= picture.height:
        shape = (resize, round(resize * picture.height / picture.width))
    else:
        shape = (round(resize * picture.width / picture.height), resize)
    picture = picture.resize(shape, kind)
    left, top = (shape[0] - size) // 2, (shape[1] - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)))


@given(height=SIDES, width=SIDES, size=st.integers(1, 9), more=st.integers(0, 3))
def test_the_shorter_side_is_resized_and_the_centre_kept(height, width, size, more):
    image = noise(height, width)
    for name, kind in (
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
    ):
        part = Preprocessing(size=size, resize=size + more, interpolation=name)
        result = part.prepare(image)
        np.testing.assert_array_equal(result, reference(image, size, size + more, kind))
        assert result.dtype == np.uint8


@given(height=SIDES, width=SIDES, size=st.integers(1, 9))
def test_without_resize_the_shorter_side_becomes_the_size(height, width, size):
    image = noise(height, width)
    np.testing.assert_array_equal(
        Preprocessing(size=size).prepare(image),
        Preprocessing(size=size, resize=size).prepare(image),
    )


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (4, 7, slice(0, 4), slice(1, 5)),
        (4, 8, slice(0, 4), slice(2, 6)),
        (9, 4, slice(2, 6), slice(0, 4)),
        (4, 4, slice(0, 4), slice(0, 4)),
    ],
)
def test_an_image_whose_shorter_side_fits_is_only_cut(height, width, rows, columns):
    image = noise(height, width)
    result = Preprocessing(size=4).prepare(image)
    np.testing.assert_array_equal(result, image[rows, columns])


def test_without_a_size_images_stay_as_they_are():
    image = noise(3, 5)
    assert Preprocessing().prepare(image) is image


def test_the_image_that_came_is_not_changed():
    image = noise(9, 6)
    image.flags.writeable = False
    before = image.copy()
    Preprocessing(size=4, resize=5).prepare(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ((0, 0, 0), (1, 1, 1)),
        ([0.5, 0.1, 0.9], [0.5, 2.0, 1e-3]),
    ],
)
def test_normalized_images_match_numpy(mean, std):
    images = np.stack([noise(4, 6, seed) for seed in range(3)])
    expected = (images.astype(np.float64) / 255 - mean) / std
    result = Preprocessing(mean=mean, std=std).normalize(torch.from_numpy(images))
    assert result.dtype == torch.float32
    np.testing.assert_allclose(
        result.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-4
    )


def test_normalized_images_keep_their_channels_side_by_side():
    images = torch.from_numpy(np.stack([noise(4, 6)] * 2))
    result = Preprocessing().normalize(images)
    assert result.shape == (2, 3, 4, 6)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_the_spec_is_json_that_builds_it_again():
    part = Preprocessing(
        mean=[0, 0.5, 1], std=(1, 2, 3), size=5, resize=7, interpolation="bicubic"
    )
    assert Preprocessing(**json.loads(json.dumps(part.spec()))) == part
    assert hash(part) == hash(Preprocessing(**part.spec()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5, 0.5)}, r"mean must be three numbers.*got \(0\.5, 0\.5\)"),
        ({"std": (1, 1, 0)}, r"std positive; got \(1\.0, 1\.0, 0\.0\)"),
        ({"std": (-1, 1, 1)}, "std must be three numbers"),
        ({"size": 0}, "size must be at least 1 pixel; got 0"),
        ({"size": -4}, "size must be at least 1 pixel; got -4"),
        ({"size": 4, "resize": 0}, "resize must be at least 1 pixel; got 0"),
        ({"size": 4, "resize": 3}, "at least size; got resize=3 and size=4"),
        ({"resize": 3}, "at least size; got resize=3 and size=None"),
        ({"interpolation": "nearest"}, "'bilinear' or 'bicubic'; got 'nearest'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**options)
