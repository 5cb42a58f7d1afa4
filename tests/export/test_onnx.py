import json
import re
import sys
from importlib import import_module

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from headtail.datasets import Preprocessing
from headtail.export import export_onnx
from headtail.heads import EnsembleHead, LinearHead
from headtail.training import ImageClassifier, build_backbone, new_head
from tests.export.heads import Drawn, make

# The package's attribute of this name may be another thing one day.
module = import_module("headtail.export.onnx")


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def properties(graph):
    return graph.get_modelmeta().custom_metadata_map


@torch.no_grad()
def check_runs_like(head, graph, dtype=torch.float32, tolerance=1e-5):
    generator = torch.Generator().manual_seed(5)
    for n_samples in (1, 7):
        features = torch.randn(n_samples, 6, generator=generator, dtype=dtype)
        features[1:2] = 0
        expected = head(features)
        (found,) = graph.run(None, {"features": features.numpy()})
        assert found.dtype == features.numpy().dtype
        error = np.abs(found - expected.numpy()).max()
        assert error <= tolerance * expected.abs().max()


# Every type of head, and every kind of step, mean and copy that `collapse` makes.
@pytest.mark.parametrize(
    "name",
    [
        "linear, centered and normalised",
        "affine of causal-norm",
        "nested ensemble",
        "whitened ensemble",
        "disalign of ensemble",
        "affine of ensemble",
        "whitened disalign",
    ],
)
def test_the_graph_gives_the_logits_of_the_head(name, tmp_path):
    head = make(name)
    export_onnx(head, tmp_path / "head.onnx")
    graph = session(tmp_path / "head.onnx")
    (features,), (logits,) = graph.get_inputs(), graph.get_outputs()
    assert (features.name, features.type) == ("features", "tensor(float)")
    assert (features.shape, logits.shape) == (["batch", 6], ["batch", 5])
    assert logits.name == "logits"
    assert properties(graph) == {"n_features": "6"}
    check_runs_like(head, graph)


@pytest.mark.parametrize("name", ["cosine", "ensemble of different features"])
def test_a_head_in_float64_takes_and_gives_float64(name, tmp_path):
    head = make(name, torch.float64)
    export_onnx(head, tmp_path / "head.onnx")
    graph = session(tmp_path / "head.onnx")
    assert graph.get_inputs()[0].type == "tensor(double)"
    check_runs_like(head, graph, torch.float64, 1e-13)


def test_a_head_in_16_bits_is_written_in_32(tmp_path):
    head = make("linear").bfloat16()
    export_onnx(head, tmp_path / "head.onnx")
    assert head.weight.dtype == torch.bfloat16
    check_runs_like(head.float(), session(tmp_path / "head.onnx"))


def test_what_is_certain_stays_finite(tmp_path):
    drawn = Drawn(torch.float32)
    members = [LinearHead(1000 * drawn.weight) for _ in range(2)]
    head = EnsembleHead([*members, LinearHead(1000 * drawn.weight, normalize=True)])
    export_onnx(head, tmp_path / "head.onnx")
    check_runs_like(head, session(tmp_path / "head.onnx"))


def test_names_of_classes_are_text_of_any_script(tmp_path):
    names = ["Bär", "蝶", "🐟", '"', "e"]
    head = LinearHead(make("linear").weight, classes=names)
    export_onnx(head, tmp_path / "head.onnx")
    found = properties(session(tmp_path / "head.onnx"))
    assert json.loads(found["class_names"]) == names
    export_onnx(head, tmp_path / "head.onnx", class_names="abcde")
    found = properties(session(tmp_path / "head.onnx"))
    assert json.loads(found["class_names"]) == list("abcde")


def test_the_same_head_gives_the_same_bytes(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        export_onnx(make("whitened ensemble"), tmp_path / name)
    content = (tmp_path / "a.onnx").read_bytes()
    assert content == (tmp_path / "b.onnx").read_bytes()
    # Who made it, and no trace of where.
    written = onnx.load_model_from_string(content)
    assert written.producer_name == "headtail"
    assert not written.graph.value_info
    assert not re.search(rb"\.py|site-packages", content)


def test_a_network_of_timm_takes_pixels(tmp_path):
    backbone = build_backbone("resnet18", seed=3)
    preprocessing = Preprocessing(size=32, resize=40, mean=(0.1, 0.2, 0.3))
    head = new_head("cosine", 512, 4)
    model = ImageClassifier(backbone, head, preprocessing).bfloat16().train()
    model.class_names = ("a", "b", "c", "d")
    export_onnx(model, tmp_path / "net.onnx")
    assert model.training
    assert head.weight.requires_grad
    assert head.weight.dtype == torch.bfloat16
    graph = session(tmp_path / "net.onnx")
    (images,) = graph.get_inputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["batch", 32, 32, 3]
    found = properties(graph)
    assert json.loads(found["class_names"]) == ["a", "b", "c", "d"]
    assert Preprocessing(**json.loads(found["preprocessing"])) == preprocessing
    assert found["n_features"] == "512"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    normalised = preprocessing.normalize(torch.from_numpy(pixels))
    with torch.no_grad():
        expected = model.eval().float()(normalised).numpy()
    (logits,) = graph.run(None, {"images": pixels})
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("size", "given", "message"),
    [
        (None, None, "image_size must be given.*any size; got None"),
        (None, 0, "image_size must be given.*any size; got 0"),
        (32, 48, "image_size must be 32, .*; got 48"),
    ],
)
def test_the_size_of_images_must_be_known(size, given, message, tmp_path):
    model = ImageClassifier(
        build_backbone("resnet20"),
        new_head("linear", 64, 2),
        Preprocessing(size=size),
    )
    with pytest.raises(ValueError, match=message):
        export_onnx(model, tmp_path / "net.onnx", image_size=given)


def test_a_head_has_no_size_of_images(tmp_path):
    with pytest.raises(ValueError, match="image_size is for networks; got 32"):
        export_onnx(make("linear"), tmp_path / "head.onnx", image_size=32)


@pytest.mark.parametrize("opset", [17, True, 18.0])
def test_an_opset_that_cannot_be_written_is_refused(opset, tmp_path):
    with pytest.raises(ValueError, match="opset must be an integer of at least 18"):
        export_onnx(make("linear"), tmp_path / "head.onnx", opset=opset)


def test_a_later_opset_is_written(tmp_path):
    export_onnx(make("cosine"), tmp_path / "head.onnx", opset=20)
    (used,) = onnx.load(tmp_path / "head.onnx").opset_import
    assert used.version == 20


class ScaledWithoutCare(nn.Module):
    """A cosine head whose zero row is 0 / 0."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features):
        length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        return 7 * (features / length) @ nn.functional.normalize(self.head.weight).T


class OfOneBatch(nn.Module):
    """A linear head for batches of the size it is traced with."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features):
        return self.head(features.reshape(len(features), 2, -1).flatten(1))


class Untraceable(nn.Module):
    """A head that looks at its input."""

    def forward(self, features):
        return features if features.sum() > 0 else -features


def rolled(head):
    return LinearHead(head.weight.roll(1, dims=0), head.bias)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("linear", rolled, r"to 1e-05 of the largest; in a batch of 1, class \d of"),
        (
            "cosine",
            ScaledWithoutCare,
            r"a batch of 3, class 0 of row 2 is nan .* and 0",
        ),
        ("linear", OfOneBatch, "must run in onnxruntime on a batch of 1; it does not"),
        ("linear", lambda _: Untraceable(), "torch.onnx can trace; it is not"),
    ],
)
def test_a_graph_that_differs_is_not_written(
    name, wrong, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "collapse", wrong)
    (tmp_path / "head.onnx").write_text("an older one")
    with pytest.raises(ValueError, match=message):
        export_onnx(make(name), tmp_path / "head.onnx")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an older one"]


def test_a_model_that_is_too_large_for_one_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 100)
    with pytest.raises(ValueError, match=r"less than 2 GB .* has 0\.0 GB"):
        export_onnx(make("linear"), tmp_path / "head.onnx")


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_a_package_that_is_missing_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=rf"^{name} must .*pip install 'headtail\[onnx"
    ):
        export_onnx(make("linear"), tmp_path / "head.onnx")


def test_another_failure_of_an_import_is_not_hidden(tmp_path, monkeypatch):
    def broken(name, *_, **__):
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.__import__", broken)
        with pytest.raises(ModuleNotFoundError, match="numpy"):
            module._import_onnx()
