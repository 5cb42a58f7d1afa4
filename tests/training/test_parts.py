import pytest
import torch
from torch import nn

from headtail.heads import AffineHead, CosineHead, LinearHead
from headtail.training.backbones import Backbone, build_backbone
from headtail.training.parts import parameter_groups, set_training_mode

RATES = {"learning_rate": 0.2, "classifier_learning_rate": 0.5, "weight_decay": 5e-4}


def cosine(backbone, n_classes=3):
    return CosineHead(torch.ones(n_classes, backbone.n_features))


@pytest.fixture
def small():
    return build_backbone("resnet20")


def names(backbone, modules):
    """Return the names of modules in the network, in order."""
    known = {id(module): name for name, module in backbone.network.named_modules()}
    return [known[id(module)] for module in modules]


def trained(module):
    return [name for name, p in module.named_parameters() if p.requires_grad]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet32", ["layer3"]),
        ("resnet10", ["layer4"]),
        ("test_resnet", ["layer4"]),
        ("test_vit", ["blocks.5", "norm"]),
        ("test_convnext", ["stages.3", "head"]),
        ("test_efficientnet", ["blocks.4", "conv_head", "bn2"]),
        # The last that these tell is a lone convolution; the stage is before it.
        ("mobilenetv3_small_050", ["blocks.4", "blocks.5", "conv_head"]),
        ("test_byobnet", ["stages.3"]),
        ("test_nfnet", ["stages.3", "final_conv"]),
    ],
)
def test_last_block(name, blocks):
    backbone = build_backbone(name)
    assert names(backbone, backbone.last_block) == blocks


@pytest.mark.parametrize("told", [[], ["9"], ["1"]])
def test_last_block_of_a_network_that_tells_none(told):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    network.feature_info = [{"module": path} for path in told]
    data = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "crop_fraction": 1.0}
    backbone = Backbone(network, name="mine", n_features=4, image_size=None, **data)
    with pytest.raises(ValueError, match=r'mine must tell .* Train "all" or "class'):
        parameter_groups(backbone, cosine(backbone), "last-block", **RATES)


@pytest.mark.parametrize(
    ("parts", "factor", "n_backbone"),
    [
        ("all", 1, 57),
        ("all-slow", 0.1, 57),
        ("last-block", 1, 18),
        ("classifier", 1, 0),
    ],
)
def test_groups(small, parts, factor, n_backbone):
    head = cosine(small)
    groups = parameter_groups(small, head, parts, **RATES)
    expected = [
        ("backbone", n_backbone, 0.2 * factor, 5e-4),
        ("classifier", 1, 0.5 * factor, 5e-4),
        ("scale", 1, 0.5 * factor, 0.0),
    ]
    assert [
        (g["name"], len(g["params"]), g["lr"], g["weight_decay"]) for g in groups
    ] == expected[n_backbone == 0 :]
    assert len(trained(small)) == n_backbone
    assert trained(head) == ["weight", "scale"]


def test_groups_hold_every_trained_parameter_once(small):
    head = AffineHead(cosine(small), torch.ones(3), torch.zeros(3))
    groups = parameter_groups(small, head, "all", **RATES)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(
        id(p) for part in (small, head) for p in part.parameters()
    )
    scales = {id(p) for group in groups[2:] for p in group["params"]}
    assert scales == {id(head.scale), id(head.head.scale)}


def test_a_linear_head_has_one_group_and_takes_the_learning_rate(small):
    head = LinearHead(torch.ones(3, 64), torch.zeros(3))
    groups = parameter_groups(
        small, head, "classifier", learning_rate=0.3, weight_decay=0.0
    )
    assert [(g["name"], len(g["params"]), g["lr"]) for g in groups] == [
        ("classifier", 2, 0.3)
    ]


def test_what_was_frozen_can_be_trained_again(small):
    parameter_groups(small, cosine(small), "classifier", **RATES)
    assert trained(small) == []
    parameter_groups(small, cosine(small), "all", **RATES)
    assert len(trained(small)) == 57


def batch_norms(backbone):
    return {
        name: module.running_mean.clone()
        for name, module in backbone.network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }


@pytest.mark.parametrize(
    ("parts", "moving"),
    [
        ("all", ("bn1", "layer1", "layer2", "layer3")),
        ("all-slow", ("bn1", "layer1", "layer2", "layer3")),
        ("last-block", ("layer3",)),
        ("classifier", ()),
    ],
)
def test_a_step_changes_what_is_trained_and_nothing_else(small, parts, moving):
    head = cosine(small)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(parameter_groups(small, head, parts, **RATES))
    weights = {k: p.clone() for k, p in small.network.named_parameters()}
    statistics = batch_norms(small)
    set_training_mode(small, parts)
    head(small(images))[:, 0].square().sum().backward()
    optimizer.step()

    changed = {
        name.split(".")[0]
        for name, p in small.network.named_parameters()
        if not torch.equal(p, weights[name])
    }
    assert changed - {"conv1"} == set(moving)
    moved = {
        k.split(".")[0]
        for k, v in batch_norms(small).items()
        if (v != statistics[k]).any()
    }
    assert moved == set(moving)


def test_unknown_parts(small):
    with pytest.raises(ValueError, match=r"parts must be one of .'all', .*got 'body'"):
        parameter_groups(small, cosine(small), "body", **RATES)
    with pytest.raises(ValueError, match=r"parts must be one of .'all', .*got 'body'"):
        set_training_mode(small, "body")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("classifier_learning_rate", float("nan")),
        ("weight_decay", -1e-4),
        ("weight_decay", float("inf")),
    ],
)
def test_rates_out_of_range(small, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .* finite; got {value}"):
        parameter_groups(small, cosine(small), "all", **{**RATES, name: value})


def test_a_head_for_other_features(small):
    head = LinearHead(torch.ones(3, 32))
    with pytest.raises(ValueError, match=r"take 64 features, .* takes 32\. Build it"):
        parameter_groups(small, head, "all", **RATES)
