import json

import numpy as np
import onnx
import pytest
import torch

from headtail import FeatureSet
from headtail.export import export_file
from headtail.training import ImageClassifier, build_backbone, new_head
from headtail.workflow import fit_method
from tests.export.heads import make


@pytest.fixture
def head(tmp_path):
    path = tmp_path / "head.safetensors"
    make("linear").save(path)
    return path


def test_the_suffix_tells_the_format(head, tmp_path):
    export_file(head, tmp_path / "a.onnx")
    assert len(onnx.load(tmp_path / "a.onnx").graph.node) == 1
    export_file(head, tmp_path / "a.pt")
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    assert loaded["weight"].equal(make("linear").weight)
    export_file(head, tmp_path / "a.safetensors")
    export_file(head, tmp_path / "b.bin", format="safetensors")
    content = (tmp_path / "b.bin").read_bytes()
    assert content == (tmp_path / "a.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.pth", {}, r"a\.pth must end in one of \['.onnx', .*got '.pth'"),
        ("a.onnx", {"format": "tflite"}, r"one of \['onnx', .*; got 'tflite'"),
        ("a.pt", {"image_size": 32}, "is for ONNX; got 32 for state-dict"),
        ("head.safetensors", {}, "must be another file than the one"),
    ],
)
def test_what_cannot_be_meant_is_refused(name, options, message, head):
    before = head.read_bytes()
    with pytest.raises(ValueError, match=message):
        export_file(head, head.parent / name, **options)
    assert [path.read_bytes() for path in head.parent.iterdir()] == [before]


def test_a_classifier_gives_its_head_and_its_names(tmp_path):
    names = ("ä", "b", "c")
    labels = np.repeat(np.arange(3), 4)
    data = FeatureSet(np.eye(3, dtype=np.float32)[labels], labels, names)
    classifier = fit_method(data, "ncm")
    classifier.save_classifier(tmp_path / "clf.safetensors")
    export_file(tmp_path / "clf.safetensors", tmp_path / "clf.onnx")
    (found,) = [
        prop.value
        for prop in onnx.load(tmp_path / "clf.onnx").metadata_props
        if prop.key == "class_names"
    ]
    assert json.loads(found) == list(names)
    export_file(tmp_path / "clf.safetensors", tmp_path / "clf.pt")
    loaded = torch.load(tmp_path / "clf.pt", weights_only=True)
    assert loaded.keys() == classifier.head_.state_dict().keys()


def test_a_network_and_the_folder_of_its_run_are_networks(tmp_path):
    model = ImageClassifier(build_backbone("resnet20"), new_head("linear", 64, 2))
    model.save(tmp_path / "net.safetensors")
    export_file(tmp_path / "net.safetensors", tmp_path / "net.pt")
    loaded = torch.load(tmp_path / "net.pt", weights_only=True)
    assert loaded.keys() == model.state_dict().keys()
    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.json").touch()
    model.save(run / "last.safetensors")
    export_file(run, tmp_path / "run.pt")
    assert (tmp_path / "run.pt").read_bytes() == (tmp_path / "net.pt").read_bytes()
    with pytest.raises(ValueError, match="image_size must be given"):
        export_file(run, tmp_path / "net.onnx")


def test_a_file_of_something_else_is_refused(tmp_path):
    export = tmp_path / "features.safetensors"
    FeatureSet(np.eye(2), None).save(export)
    with pytest.raises(ValueError, match=r"features\.safetensors must"):
        export_file(export, tmp_path / "a.onnx")
    with pytest.raises(FileNotFoundError, match="absent"):
        export_file(tmp_path / "absent.safetensors", tmp_path / "a.onnx")
