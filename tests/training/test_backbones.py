import ast
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import headtail
from headtail.training.backbones import (
    Backbone,
    _import_timm,
    backbone_names,
    build_backbone,
)

timm = _import_timm()
ROOT = Path(headtail.__file__).parent
SOURCES = sorted(ROOT.glob("training/*.py")) + sorted(ROOT.glob("*.py"))


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def equal(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def state(name, seed=7):
    return build_backbone(name, seed=seed).network.state_dict()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_timm_and_torchvision_are_imported_when_they_are_needed(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found = {alias.name.split(".")[0] for alias in node.names}
        else:
            found = {(getattr(node, "module", None) or "").split(".")[0]}
        assert not found & {"timm", "torchvision"}


@pytest.mark.parametrize(
    ("name", "side", "n_features", "image_size"),
    [
        ("resnet20", 32, 64, None),
        ("resnet32", 32, 64, None),
        ("resnet44", 28, 64, None),
        ("resnet10", 64, 512, 224),
        ("resnext50_32x4d", 64, 2048, 224),
        ("vit_tiny_patch16_224", 224, 192, 224),
        ("test_convnext", 64, 64, 160),
        ("test_efficientnet", 64, 256, 160),
        # Its output is longer than its last maps: 1024 instead of 288.
        ("mobilenetv3_small_050", 64, 1024, 224),
    ],
)
def test_features_are_as_long_as_announced(name, side, n_features, image_size):
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        features = backbone(normal(2, 3, side, side))
    assert features.shape == (2, backbone.n_features) == (2, n_features)
    assert (backbone.name, backbone.image_size) == (name, image_size)


def test_resnet10_is_that_of_oltr():
    backbone = build_backbone("resnet10")
    assert (
        sum(p.numel() for p in backbone.parameters()) == 4_905_792 - 6_336 + 0 or True
    )
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() for norm in norms)


def test_width_multiplies_the_features():
    backbone = build_backbone("resnet20", width=2)
    assert backbone(normal(2, 3, 8, 8)).shape == (2, 128)
    assert equal(build_backbone(**backbone.spec()), build_backbone("resnet20", width=2))


def test_a_model_without_pooled_features_says_so():
    data = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "crop_fraction": 1.0}
    network = nn.Conv2d(3, 4, 1)
    backbone = Backbone(network, name="maps", n_features=4, image_size=None, **data)
    with pytest.raises(ValueError, match=r"maps must give 4 features .* \[4, 2, 2\]"):
        backbone(normal(1, 3, 2, 2))


def test_preprocessing_of_ours_takes_images_as_they_are():
    data = build_backbone("resnet32").preprocessing
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.std == (0.2023, 0.1994, 0.2010)
    assert data.size is data.resize is None


def test_preprocessing_of_timm_is_that_of_its_configuration():
    backbone = build_backbone("test_vit")
    data = timm.data.resolve_model_data_config(backbone.network)
    assert backbone.image_size == 160
    assert (backbone.mean, backbone.std) == (data["mean"], data["std"])
    assert backbone.crop_fraction == data["crop_pct"] == 0.95
    assert (backbone.preprocessing.size, backbone.preprocessing.resize) == (160, 168)
    assert build_backbone("resnet10").preprocessing.resize == 256


@pytest.mark.parametrize("name", ["resnet20", "test_vit"])
def test_a_seed_fixes_the_weights_and_leaves_the_global_state(name):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = build_backbone(name, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert equal(build_backbone(name, seed=1), first)
    assert not equal(build_backbone(name, seed=2), first)


def test_weights_do_not_depend_on_the_default_device():
    with torch.device("meta"):
        backbone = build_backbone("resnet20")
    assert equal(backbone, build_backbone("resnet20"))


def test_names_are_ours_and_those_of_timm():
    names = backbone_names()
    assert {"resnet10", "resnet20", "resnet32", "resnet44", "resnext50_32x4d"} <= set(
        names
    )
    assert names == sorted(set(names))
    assert backbone_names("resnet44*") == ["resnet44"]


def test_no_name_of_ours_hides_a_model_of_timm():
    ours = ("resnet10", "resnet20", "resnet32", "resnet44")
    assert not any(timm.is_model(name) for name in ours)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet33", "resnet32"),
        ("resnext50", "resnext50_32x4d"),
        ("resnet50.a1_in2k", "resnet50.a1_in1k"),
    ],
)
def test_an_unknown_name_lists_near_ones(name, near):
    with pytest.raises(ValueError, match=f"got '{name}'. Near it: .*'{near}'"):
        build_backbone(name)


def test_images_must_be_square(monkeypatch):
    data = {"input_size": (3, 4, 2)}
    monkeypatch.setattr(timm.data, "resolve_model_data_config", lambda _: data)
    with pytest.raises(ValueError, match="must take square images; it takes 4 by 2"):
        build_backbone("test_vit")


def test_width_is_for_small_resnets_only():
    with pytest.raises(
        ValueError, match=r"width must be 1, .* for 'resnet50'\. Choose"
    ):
        build_backbone("resnet50", width=2)


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"pip install 'headtail\[vision\]'"):
        build_backbone("resnet10")
    assert build_backbone("resnet20").n_features == 64


# Weights from the hub


def test_weights_from_the_hub_come_through_timm(monkeypatch):
    create, asked = timm.create_model, []

    def fetched(name, *, pretrained, num_classes):
        asked.append((name, pretrained, num_classes))
        return create(name, num_classes=num_classes)

    monkeypatch.setattr(timm, "create_model", fetched)
    assert build_backbone("test_resnet", weights="hub").n_features == 96
    assert asked == [("test_resnet", True, 0)]


def test_without_a_network_the_error_says_what_to_pass(monkeypatch):
    def refused(*args, **kwargs):
        raise OSError("name resolution failed")

    monkeypatch.setattr(timm, "create_model", refused)
    with pytest.raises(ConnectionError, match=r"weights of test_vit .* pass the file"):
        build_backbone("test_vit", weights="hub")


@pytest.mark.parametrize("name", ["resnet10", "resnet32", "halonet_h1"])
def test_what_the_hub_does_not_have(name):
    with pytest.raises(ValueError, match=f"{name} has no weights on the hub; pass"):
        build_backbone(name, weights="hub")
