import math

import pytest
import torch
from torch import nn

from headtail.training.small_resnet import SmallResNet, subsample_and_pad


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator)


@pytest.mark.parametrize(
    ("n_blocks", "n_parameters"), [(3, 269_722), (5, 464_154), (7, 658_586)]
)
def test_parameters_are_as_many_as_in_the_literature(n_blocks, n_parameters):
    network = nn.Sequential(SmallResNet(n_blocks), nn.Linear(64, 10))
    assert sum(p.numel() for p in network.parameters()) == n_parameters


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_depth_is_six_blocks_and_two(n_blocks):
    layers = [m for m in SmallResNet(n_blocks).modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) + 1 == 6 * n_blocks + 2


@pytest.mark.parametrize(
    ("n_inputs", "n_channels", "side"), [(2, 4, 6), (3, 8, 5), (4, 7, 4)]
)
def test_shortcut_matches_loops(n_inputs, n_channels, side):
    maps = normal(2, n_inputs, side, side)
    half = math.ceil(side / 2)
    expected = torch.zeros(2, n_channels, half, half)
    before = (n_channels - n_inputs) // 2
    for sample in range(2):
        for channel in range(n_inputs):
            for row in range(half):
                for column in range(half):
                    value = maps[sample, channel, 2 * row, 2 * column]
                    expected[sample, before + channel, row, column] = value
    torch.testing.assert_close(subsample_and_pad(maps, n_channels, 2), expected)


def test_block_adds_the_shortcut_to_the_convolutions():
    block = SmallResNet(1).layer2[0].eval()
    with torch.no_grad():
        block.bn2.weight.zero_()
        block.bn2.bias.fill_(-0.5)
        maps = normal(1, 16, 4, 4)
        expected = (subsample_and_pad(maps, 32, 2) - 0.5).clamp(min=0)
        torch.testing.assert_close(block(maps), expected)


@pytest.mark.parametrize(("side", "width"), [(32, 1), (28, 1), (8, 2), (1, 1)])
def test_features_have_one_length_for_images_of_any_size(side, width):
    network = SmallResNet(1, width=width)
    assert network(normal(2, 3, side, side)).shape == (2, 64 * width)
    assert network.n_features == 64 * width


def test_features_are_means_over_the_pixels_of_the_last_maps():
    network = SmallResNet(1).eval()
    maps = []
    network.layer3.register_forward_hook(lambda *args: maps.append(args[2]))
    features = network(normal(2, 3, 16, 16))
    torch.testing.assert_close(features, maps[0].flatten(2).mean(dim=2))
    assert maps[0].shape == (2, 64, 4, 4)


def test_convolutions_start_as_he_proposed():
    for layer in SmallResNet(3, width=4).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 10_000:
            fan_in = layer.weight[0].numel()
            assert layer.weight.std().item() == pytest.approx(
                math.sqrt(2 / fan_in), rel=0.05
            )
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()


def test_channels_last_changes_nothing():
    network = SmallResNet(1).eval()
    images = normal(2, 3, 8, 8)
    expected = network(images)
    network.to(memory_format=torch.channels_last)
    actual = network(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected)


def test_every_parameter_gets_a_gradient():
    network = SmallResNet(1)
    network(normal(4, 3, 8, 8)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("options", [{"n_blocks": 0}, {"n_blocks": 1, "width": True}])
def test_sizes_must_be_whole_and_positive(options):
    with pytest.raises(ValueError, match="must be a whole number, at least 1; got"):
        SmallResNet(**options)


def test_images_of_one_channel_are_an_error_of_torch():
    # Of jaxtyping, where shapes are checked.
    with pytest.raises((RuntimeError, TypeError), match=r"3 channels|'images'"):
        SmallResNet(1)(torch.zeros(1, 1, 8, 8))
