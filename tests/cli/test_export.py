import sys

import onnxruntime
import pytest
import torch


def test_an_exported_head_runs(run, head):
    code, out, err = run("export", head.name, "-o", "a.bin", "--format", "onnx")
    assert (code, out, err) == (0, "a.bin\n", "")
    graph = onnxruntime.InferenceSession(
        head.parent / "a.bin", providers=["CPUExecutionProvider"]
    )
    names = graph.get_modelmeta().custom_metadata_map["class_names"]
    assert names == '["ant", "bee", "cat", "dog"]'
    assert run("export", head.name, "-o", "a.pt")[0] == 0
    assert "weight" in torch.load(head.parent / "a.pt", weights_only=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "a.txt"), "a.txt must end in one of"),
        (("-o", "no/a.onnx"), "folder of no/a.onnx must exist"),
        (("-o", "a.pt", "--format", "x"), "format must be one of ['onnx'"),
        (("-o", "a.onnx", "--image-size", "9"), "image_size is for networks; got 9"),
    ],
)
def test_an_error_is_one_line(words, message, run, head):
    code, out, err = run("export", head.name, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_missing_package_is_named(run, head, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = run("export", head.name, "-o", "a.onnx")
    assert code == 2
    assert "pip install 'headtail[onnx]'" in err
