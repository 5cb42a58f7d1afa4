import copy
import importlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from headtail.heads import (
    CosineHead,
    EnsembleHead,
    LinearHead,
    attach,
    head_of,
    last_layer_name,
)
from headtail.torchvision_operators import import_torchvision


class Body(nn.Module):
    """A network whose last layer stands under a name."""

    def __init__(self, name="fc", layer=None):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
        parent = self
        for part in name.split(".")[:-1]:
            parent.add_module(part, nn.Module())
            parent = parent.get_submodule(part)
        layer = nn.Linear(5, 3) if layer is None else layer
        parent.add_module(name.split(".")[-1], layer)
        self.name = name

    def forward(self, images):
        return self.get_submodule(self.name)(self.body(images))


def imported_timm():
    import_torchvision()
    return importlib.import_module("timm")


IMAGES = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["fc", "classifier", "head", "head.fc", "heads.head"])
def test_the_last_layer_is_found_under_its_usual_names(name):
    model = Body(name)
    assert last_layer_name(model) == name
    head = head_of(model)
    torch.testing.assert_close(head(model.body(IMAGES)), model(IMAGES))


def test_a_sequence_ends_with_the_last_layer():
    layer = nn.Sequential(nn.Dropout(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    assert last_layer_name(Body("classifier", layer)) == "classifier.3"
    closed = nn.Sequential(nn.Linear(5, 3), nn.Softmax(dim=1))
    with pytest.raises(
        ValueError, match=r"found none\. Pass its name; .*classifier\.0"
    ):
        last_layer_name(Body("classifier", closed))


def test_a_head_is_a_copy():
    model = Body()
    head = head_of(model, classes=["a", "b", "c"])
    assert head.classes.tolist() == ["a", "b", "c"]
    with torch.no_grad():
        model.fc.weight.zero_()
    assert head.weight.abs().sum() > 0


def test_no_layer_and_two_layers_ask_for_a_name():
    with pytest.raises(ValueError, match=r"Body must be one .*; found none\. Pass its"):
        last_layer_name(Body("logits"))
    assert head_of(Body("logits"), "logits").n_classes == 3
    two = Body("fc")
    two.head = nn.Linear(5, 3)
    with pytest.raises(ValueError, match=r"found \['fc', 'head'\]"):
        last_layer_name(two)


@pytest.mark.parametrize(
    "head",
    [
        LinearHead(torch.ones(4, 5), torch.arange(4.0), center=torch.ones(5)),
        CosineHead(torch.eye(5), classes=[1, 2, 3, 4, 9]),
        EnsembleHead([CosineHead(torch.eye(5)), LinearHead(torch.eye(5))]),
    ],
    ids=["linear", "cosine", "ensemble"],
)
def test_a_head_takes_the_place_of_the_last_layer(head):
    model = Body("head.fc").eval()
    features = model.body(IMAGES)
    before = copy.deepcopy(head.state_dict())
    assert attach(model, head) is model
    torch.testing.assert_close(model(IMAGES), head(features))
    found = head_of(model)
    assert type(found) is type(head)
    torch.testing.assert_close(found(features), head(features))
    assert not model.head.fc.training
    with torch.no_grad():
        next(model.head.fc.parameters()).zero_()
    for name, tensor in head.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_what_was_taken_out_may_be_put_back():
    model = Body()
    before = model(IMAGES)
    attach(model, head_of(model))
    torch.testing.assert_close(model(IMAGES), before)


def test_heads_of_other_features_and_things_that_are_no_heads_are_refused():
    with pytest.raises(ValueError, match=r"the 5 features that 'fc' takes; it takes 6"):
        attach(Body(), LinearHead(torch.ones(2, 6)))
    with pytest.raises(TypeError, match=r"(?s)head.*Linear"):
        attach(Body(), nn.Linear(5, 2))


@pytest.mark.parametrize("name", ["nowhere", "body.9", "fc.weight"])
def test_an_unknown_name_tells_the_known_ones(name):
    with pytest.raises(
        ValueError, match=r"got '.*'\. Its linear layers are \['body\.1'"
    ):
        head_of(Body(), name)


@pytest.mark.parametrize(("name", "kind"), [("body", "Sequential"), ("", "Body")])
def test_what_is_no_linear_layer_is_refused(name, kind):
    with pytest.raises(
        TypeError, match=f"must be a torch.nn.Linear or a head; .* {kind}"
    ):
        head_of(Body(), name)


def test_models_that_keep_the_number_of_classes_are_told():
    model = Body()
    model.num_classes = 3
    model.config = SimpleNamespace(num_labels=3)
    attach(model, LinearHead(torch.ones(7, 5)))
    assert (model.num_classes, model.config.num_labels, model.num_labels) == (7, 7, 7)
    plain = attach(Body(), LinearHead(torch.ones(7, 5)))
    assert not hasattr(plain, "num_classes")
    assert not hasattr(plain, "num_labels")


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("resnet10t", "fc"),
        ("vit_tiny_patch16_224", "head"),
        ("convnext_atto", "head.fc"),
    ],
)
def test_timm_says_where_its_classifier_is(architecture, name):
    timm = imported_timm()
    model = timm.create_model(architecture, num_classes=3).eval()
    assert last_layer_name(model) == name
    head = LinearHead(torch.randn(6, model.num_features))
    assert attach(model, head).num_classes == 6
    size = 224 if "vit" in architecture else 64
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        features = model.forward_head(model.forward_features(images), pre_logits=True)
        torch.testing.assert_close(model(images), head(features))


def test_a_distilled_model_has_no_single_last_layer():
    timm = imported_timm()
    model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3)
    with pytest.raises(ValueError, match=r"found \['head', 'head_dist'\]"):
        last_layer_name(model)


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("vit_b_32", "heads.head"),
    ],
)
def test_torchvision_is_known(architecture, name):
    models = import_torchvision().models
    with torch.device("meta"):
        model = getattr(models, architecture)(num_classes=3)
    assert last_layer_name(model) == name
