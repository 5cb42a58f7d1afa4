import math
import re
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from headtail.datasets import ImageFiles, ImageSet, Preprocessing
from headtail.features import FeatureSet, extract, extract_to_folder
from headtail.features import extraction as room

PART = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


WHOLE = [0, 1, 2, 5, 6, 7, 8, 9]


@torch.no_grad()
def forward(backbone, images):
    """Return the features of uint8 images, one at a time, by numpy and a copy."""
    network = nn.Sequential(*backbone).eval()
    features = []
    for image in images:
        inputs = (image.astype(np.float64) / 255 - PART.mean) / PART.std
        inputs = torch.tensor(inputs.transpose(2, 0, 1), dtype=torch.float32)
        features.append(network(inputs[None])[0])
    return torch.stack(features).numpy()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_near(features, expected):
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 256])
def test_features_are_those_of_a_forward_pass(batch_size, backbone, data):
    modes = [module.training for module in backbone.modules()]
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    result = extract(backbone, data, preprocessing=PART, batch_size=batch_size)
    assert modes == [module.training for module in backbone.modules()]
    for name, value in backbone.state_dict().items():
        assert value.equal(state[name]), name
    assert_near(result.features, forward(backbone, data.images))
    assert result.features.dtype == np.float32
    assert (result.labels.tolist(), result.class_names) == (
        data.labels.tolist(),
        data.class_names,
    )


def views_by_hand(image, views):
    """Shift with padding and cut; mirror by reversing the columns."""
    down, right = image.shape[0] // 8, image.shape[1] // 8
    wide = np.pad(image, [(down, down), (right, right), (0, 0)], mode="edge")
    corners = [(y, x) for y in (0, 2 * down) for x in (0, 2 * right)]
    starts = [(down, right)] + (corners if views == 10 else [])
    cut = [wide[y : y + image.shape[0], x : x + image.shape[1]] for y, x in starts]
    return cut + ([] if views == 1 else [one[:, ::-1] for one in cut])


@pytest.mark.parametrize("side", [(9, 8), (17, 25), (5, 6)])
@pytest.mark.parametrize("views", [1, 2, 10])
def test_features_of_several_views_are_averaged(views, side, backbone):
    images = np.random.default_rng(1).integers(0, 256, (3, *side, 3), dtype=np.uint8)
    data = ImageSet(images, [0, 1, 1])
    result = extract(backbone, data, preprocessing=PART, views=views)
    for row, image in enumerate(images):
        each = views_by_hand(image, views)
        assert len(each) == views
        expected = forward(backbone, each).astype(np.float64).mean(axis=0)
        assert_near(result.features[row], expected)


def test_a_mirrored_image_has_the_same_features_in_two_views(backbone, data):
    mirrored = ImageSet(data.images[:, :, ::-1], data.labels)
    first, second = (
        extract(backbone, one, preprocessing=PART, views=2) for one in (data, mirrored)
    )
    assert_near(first.features, second.features)


def test_bfloat16_is_near_and_gives_float32(backbone, data, tmp_path):
    # Unlike the layers before it, a linear one gives bfloat16.
    backbone.append(nn.utils.skip_init(nn.Linear, 24, 5))
    with torch.no_grad():
        backbone[-1].weight.copy_(torch.eye(5, 24))
        backbone[-1].bias.zero_()
    exact = extract(backbone, data, preprocessing=PART).features
    near = extract(backbone, data, preprocessing=PART, bf16=True).features
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() < 0.05
    extract_to_folder(backbone, data, tmp_path / "f", preprocessing=PART, bf16=True)
    loaded = FeatureSet.load(tmp_path / "f").features
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, near)


@pytest.mark.parametrize("shard_rows", [4, 11, 99])
def test_a_folder_holds_the_same_features_in_shards(
    shard_rows, backbone, data, tmp_path
):
    done = extract_to_folder(
        backbone, data, tmp_path / "f", preprocessing=PART, shard_rows=shard_rows
    )
    shards = [f"part-{n:05d}.safetensors" for n in range(-(-11 // shard_rows))]
    assert sorted(contents(tmp_path / "f")) == ["extraction.json", *shards]
    assert (done.folder, done.n_images, done.n_damaged) == (tmp_path / "f", 11, 0)
    assert 0 < done.images_per_s < math.inf
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    loaded = FeatureSet.load(tmp_path / "f")
    assert_near(loaded.features, extract(backbone, data, preprocessing=PART).features)
    assert (loaded.labels.tolist(), loaded.class_names) == (
        data.labels.tolist(),
        data.class_names,
    )


def test_workers_change_nothing(backbone, data, paths, tmp_path):
    data = ImageSet(ImageFiles(paths), data.labels).subset(WHOLE)
    for n_workers in (0, 2):
        extract_to_folder(
            backbone,
            data,
            tmp_path / f"f{n_workers}",
            preprocessing=PART,
            batch_size=3,
            n_workers=n_workers,
        )
    assert contents(tmp_path / "f0") == contents(tmp_path / "f2")


def test_the_speed_is_shown(backbone, data, tmp_path, monkeypatch):
    shown = []

    @contextmanager
    def counter(total, label):
        shown.append((total, label))
        yield lambda *words: shown.append(words)

    monkeypatch.setattr(room, "counter", counter)
    extract_to_folder(
        backbone, data, tmp_path / "f", preprocessing=PART, batch_size=8, shard_rows=10
    )
    assert shown[0] == (11, "extracting features")
    assert [more for more, _ in shown[1:]] == [8, 2, 1]
    for _, label in shown[1:]:
        assert re.fullmatch(r"extracting features, [\d,]+ images/s", label)


@pytest.mark.parametrize("to_folder", [False, True])
def test_bad_input_is_refused_before_anything_is_written(
    to_folder, backbone, data, tmp_path
):
    def run(data, **options):
        if to_folder:
            extract_to_folder(
                backbone, data, tmp_path / "f", preprocessing=PART, **options
            )
        else:
            extract(backbone, data, preprocessing=PART, **options)

    with pytest.raises(ValueError, match=r"one of \(1, 2, 10\); got 3"):
        run(data, views=3)
    with pytest.raises(ValueError, match="data must hold an image; it holds none"):
        run(data.subset([]))
    assert list(tmp_path.iterdir()) == []


def test_maps_that_are_not_pooled_are_refused(backbone, data, tmp_path):
    expected = (
        r"features \[n_images, n_features\]; it gave shape \[11, 6, 9, 8\]\. Pool"
    )
    for run in (
        lambda: extract(backbone[:3], data, preprocessing=PART),
        lambda: extract_to_folder(
            backbone[:3], data, tmp_path / "f", preprocessing=PART
        ),
    ):
        with pytest.raises(ValueError, match=expected):
            run()
    assert not (tmp_path / "f").exists()
    # The mode is put back after an error, too.
    assert [module.training for module in backbone[:3]] == [True, False, True]
