import pytest
import torch
from safetensors.torch import save_file

from headtail.training.backbones import build_backbone


def equal(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def state(name, seed=7):
    return build_backbone(name, seed=seed).network.state_dict()


def write(path, content):
    path.unlink(missing_ok=True)
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    return path


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("name", ["resnet20", "test_vit"])
def test_weights_from_a_file(tmp_path, file, name):
    path = write(tmp_path / file, state(name))
    found = build_backbone(name, weights=path)
    assert equal(found, build_backbone(name, seed=7))
    assert equal(build_backbone(name, weights=str(path)), found)


def prefixed(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def moco(tensors):
    """A checkpoint in the form of MoCo's: two encoders, projections, a queue."""
    other = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    return {
        "epoch": 200,
        "arch": "resnet20",
        "state_dict": {
            "module.queue": torch.zeros(64, 8),
            **prefixed("module.encoder_k.", other),
            **prefixed("module.encoder_q.", tensors),
            "module.encoder_q.fc.0.weight": torch.zeros(64, 64),
            "module.encoder_q.fc.2.bias": torch.zeros(8),
        },
        "optimizer": {"state": {}, "param_groups": []},
    }


@pytest.mark.parametrize(
    "wrap",
    [
        moco,
        lambda t: {"state_dict": prefixed("module.", t)},
        lambda t: {"model": {**t, "fc.weight": torch.zeros(10, 64)}},
        lambda t: {"backbone": t, "head": {"weight": torch.zeros(2, 64)}},
        lambda t: {"model": {"state_dict": t}},
        lambda t: {"state_dict_best": {"feat_model": prefixed("module.", t)}},
        lambda t: {**prefixed("backbone.", t), "projector.0.weight": torch.zeros(2)},
        lambda t: {**prefixed("encoder.", t), "head.weight": torch.zeros(2, 64)},
        lambda t: {**prefixed("backbone.network.", t), "head.scale": torch.ones(())},
        lambda t: {"linear.weight": torch.zeros(10, 64), **t},
        lambda t: {k: v for k, v in t.items() if "num_batches" not in k},
    ],
)
def test_wrappers_prefixes_and_classifiers_are_left_out(tmp_path, wrap):
    path = write(tmp_path / "w.pth", wrap(state("resnet20")))
    network = build_backbone("resnet20", weights=path)
    expected = build_backbone("resnet20", seed=7)
    assert all(map(torch.equal, network.parameters(), expected.parameters()))


def test_weights_in_half_precision_are_loaded_in_full(tmp_path):
    tensors = {k: v.half() for k, v in state("resnet20").items()}
    network = build_backbone("resnet20", weights=write(tmp_path / "w.pth", tensors))
    assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "file_of", "message"),
    [
        # Each tensor of the smaller network has its place in the larger one's file.
        ("resnet20", "resnet44", r"114 .*114 fit \(unknown: \['layer1.3.*141 more\]\)"),
        ("resnet44", "resnet20", r"258 .* 114 fit \(missing: \['layer1.3.bn1.bias'"),
        ("resnet20", "test_resnet", r"another shape: \['.*\[.*\] for \[16"),
        ("test_vit", "resnet20", r"tensors 0 fit \(missing: .*; unknown: "),
    ],
)
def test_weights_of_another_architecture(tmp_path, name, file_of, message):
    path = write(tmp_path / "w.pth", {"state_dict": state(file_of)})
    with pytest.raises(ValueError, match=f"hold the weights of {name}; of its.*") as e:
        build_backbone(name, weights=path)
    assert e.match(message)
    assert e.match("Name the architecture that the file was saved from, or pass")
    assert e.match("w.pth")


def test_code_in_a_file_is_never_run(tmp_path):
    path = write(tmp_path / "w.pth", {"state_dict": Trap(tmp_path / "ran")})
    with pytest.raises(ValueError, match=r"tensors alone.*\(UnpicklingError\)"):
        build_backbone("resnet20", weights=path)
    assert not (tmp_path / "ran").exists()


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {"epoch": 3}}, 5])
def test_a_file_without_tensors(tmp_path, content):
    path = write(tmp_path / "w.pth", content)
    with pytest.raises(ValueError, match=r"must hold a state dict, .* it holds none"):
        build_backbone("resnet20", weights=path)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("kept", [0, 10, 2000])
def test_a_truncated_file(tmp_path, file, kept):
    path = write(tmp_path / file, state("resnet20"))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"{file} must be a .* reading it failed"):
        build_backbone("resnet20", weights=path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; check the path"):
        build_backbone("resnet20", weights=tmp_path / "w.pth")
    with pytest.raises(IsADirectoryError, match="is a folder; pass a file"):
        build_backbone("resnet20", weights=tmp_path)
