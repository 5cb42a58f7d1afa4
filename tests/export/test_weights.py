import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from headtail.export import export_safetensors, export_state_dict
from headtail.heads import LinearHead, build_head, load_head
from headtail.training import ImageClassifier, build_backbone, new_head
from tests.export.heads import OTHERS, STACKED, make

NAMES = ("ä", "蝶", "c", "d", "e")


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str
)
@pytest.mark.parametrize("name", ["linear", "whitened ensemble", "disalign"])
def test_the_state_dict_comes_back(name, dtype, tmp_path):
    head, again = make(name).to(dtype), make(name).to(dtype)
    for tensor in again.state_dict().values():
        tensor.zero_()
    export_state_dict(head, tmp_path / "head.pt")
    loaded = torch.load(tmp_path / "head.pt", weights_only=True)
    assert type(loaded) is dict
    assert {type(tensor) for tensor in loaded.values()} == {torch.Tensor}
    again.load_state_dict(loaded)
    for key, value in head.state_dict().items():
        assert again.state_dict()[key].dtype == dtype
        assert torch.equal(again.state_dict()[key], value)


def test_a_linear_head_loads_into_a_layer_of_torch(tmp_path):
    head, layer = make("linear"), torch.nn.Linear(6, 5)
    export_state_dict(head, tmp_path / "head.pt")
    layer.load_state_dict(torch.load(tmp_path / "head.pt", weights_only=True))
    assert torch.equal(layer(torch.eye(6)), head(torch.eye(6)))


@pytest.mark.parametrize("name", [*STACKED, *OTHERS])
def test_safetensors_tell_all_that_a_head_is(name, tmp_path):
    head, path = make(name), tmp_path / "plain.safetensors"
    export_safetensors(head, path, class_names=NAMES)
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["model"])
    assert facts["class_names"] == list(NAMES)
    again = build_head(facts["head"], load_file(path))
    torch.testing.assert_close(again(torch.eye(6)), head(torch.eye(6)), rtol=0, atol=0)
    with pytest.raises(ValueError, match="must carry headtail's metadata"):
        load_head(path)


@pytest.mark.parametrize("export", [export_state_dict, export_safetensors])
def test_the_same_head_gives_the_same_bytes(export, tmp_path):
    for name in ("a.file", "another.file"):
        export(make("whitened ensemble"), tmp_path / name)
    first, second = (path.read_bytes() for path in tmp_path.iterdir())
    assert first == second


def test_labels_are_names_where_there_are_no_others(tmp_path):
    head = LinearHead(torch.eye(2), classes=[3, 7])
    export_safetensors(head, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["model"])["class_names"] == ["3", "7"]
    with pytest.raises(ValueError, match="each of the 2 classes; got 5 names"):
        export_safetensors(head, tmp_path / "b.safetensors", class_names=NAMES)
    assert not (tmp_path / "b.safetensors").exists()


def test_a_network_is_written_with_its_names(tmp_path):
    model = ImageClassifier(build_backbone("resnet20"), new_head("linear", 64, 2))
    model.class_names = ("ä", "b")
    export_safetensors(model, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["model"])
    assert facts["class_names"] == ["ä", "b"]
    loaded = load_file(tmp_path / "net.safetensors")
    assert loaded.keys() == model.state_dict().keys()
    assert torch.equal(loaded["head.weight"], model.head.weight)


@pytest.mark.parametrize("export", [export_state_dict, export_safetensors])
def test_a_weight_is_written_row_by_row(export, tmp_path):
    weight = torch.arange(6.0).reshape(3, 2).T
    export(LinearHead(weight), tmp_path / "a.file")
    export(LinearHead(weight.contiguous()), tmp_path / "b.file")
    assert (tmp_path / "a.file").read_bytes() == (tmp_path / "b.file").read_bytes()
