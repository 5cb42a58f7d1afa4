import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from headtail.files import read_tensors, write_tensors
from headtail.heads import (
    AffineHead,
    CausalNormHead,
    CosineHead,
    DisAlignHead,
    EnsembleHead,
    LinearHead,
    WhitenedHead,
    build_head,
    load_head,
)

WEIGHT = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])
BIAS = torch.tensor([0.1, 0.2, 0.3])
X = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [0.0, 0.0]])

HEADS = {
    "linear": LinearHead(WEIGHT),
    "bias": LinearHead(WEIGHT, BIAS),
    "centered": LinearHead(WEIGHT, BIAS, center=torch.ones(2), normalize=True),
    "cosine": CosineHead(WEIGHT, 7.5),
    "half": LinearHead(WEIGHT.half(), BIAS.half()),
    "double": CosineHead(WEIGHT.double() / 3, 0.1),
}
HEADS["affine"] = AffineHead(HEADS["cosine"], BIAS, BIAS + 1)
HEADS["disalign"] = DisAlignHead(HEADS["centered"], BIAS, BIAS + 1, torch.ones(2))
HEADS["causal-norm"] = CausalNormHead(WEIGHT, torch.ones(2), n_chunks=1, alpha=0.1)
HEADS["wrapped"] = AffineHead(HEADS["disalign"], BIAS, -BIAS)
HEADS["ensemble"] = EnsembleHead([HEADS["centered"], HEADS["cosine"]])
HEADS["nested"] = EnsembleHead([HEADS["ensemble"], HEADS["linear"], HEADS["ensemble"]])
HEADS["wrapped ensemble"] = DisAlignHead(
    EnsembleHead([HEADS["wrapped"], HEADS["causal-norm"]]), BIAS, BIAS, torch.ones(2)
)
HEADS["whitened"] = WhitenedHead(HEADS["cosine"], torch.eye(2) / 3, torch.ones(2) / 7)
HEADS["whitened ensemble"] = WhitenedHead(
    EnsembleHead([HEADS["wrapped"], HEADS["whitened"]]),
    torch.ones(2, 2),
    torch.ones(2),
    normalize=True,
)
HEADS["whitened member"] = EnsembleHead([HEADS["whitened"], HEADS["linear"]])
HEADS["whitened twice"] = AffineHead(
    WhitenedHead(HEADS["whitened"], WEIGHT[:2], WEIGHT[2]), BIAS, BIAS
)
HEADS["whitened half"] = WhitenedHead(HEADS["half"], WEIGHT[:2], WEIGHT[2])
HEADS["twelve"] = EnsembleHead([CosineHead(WEIGHT, i + 1.0) for i in range(12)])

CLASSES = [
    None,
    np.array([30, -1, 2]),
    np.array([1, 2, 3], dtype=np.uint8),
    np.array(["lynx", "größer", ""]),
    np.array(["lynx", "cat", "ox"], dtype=object),
    np.array([0.1, 2.0, 1e300]),
]


@pytest.mark.parametrize("name", HEADS)
def test_loaded_head_is_the_saved_head(name, tmp_path):
    head = HEADS[name]
    head.save(tmp_path / "head.safetensors")
    loaded = load_head(tmp_path / "head.safetensors")
    assert type(loaded) is type(head)
    assert loaded.spec() == head.spec()
    assert loaded.classes is None
    state, expected = loaded.state_dict(), head.state_dict()
    assert list(state) == list(expected)
    for key, value in expected.items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value)
    assert torch.equal(loaded(X), head(X))


@pytest.mark.parametrize(
    "kind",
    ["linear", "cosine", "ensemble", "affine", "disalign", "causal-norm", "whitened"],
)
@pytest.mark.parametrize("classes", CLASSES, ids=lambda c: str(getattr(c, "dtype", c)))
def test_classes_come_back_with_their_dtype(kind, classes, tmp_path):
    head = {
        "linear": lambda: LinearHead(WEIGHT, classes=classes),
        "cosine": lambda: CosineHead(WEIGHT, classes=classes),
        "ensemble": lambda: EnsembleHead([HEADS["cosine"]], classes=classes),
        "affine": lambda: AffineHead(HEADS["linear"], BIAS, BIAS, classes=classes),
        "disalign": lambda: DisAlignHead(
            HEADS["linear"], BIAS, BIAS, torch.ones(2), classes=classes
        ),
        "causal-norm": lambda: CausalNormHead(WEIGHT, torch.ones(2), classes=classes),
        "whitened": lambda: WhitenedHead(
            HEADS["linear"], torch.eye(2), torch.ones(2), classes=classes
        ),
    }[kind]()
    head.save(tmp_path / "head")
    loaded = load_head(tmp_path / "head").classes
    if classes is None:
        assert loaded is None
    else:
        assert loaded.dtype == classes.dtype
        assert loaded.tolist() == classes.tolist()


@pytest.mark.parametrize("name", HEADS)
def test_same_head_gives_the_same_bytes(name, tmp_path):
    HEADS[name].save(tmp_path / "first")
    load_head(tmp_path / "first").save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_trained_head_can_be_saved_and_loaded_head_trained(tmp_path):
    head = CosineHead(WEIGHT)
    head(X).sum().backward()
    head.save(tmp_path / "head")
    loaded = load_head(tmp_path / "head")
    loaded(X).sum().backward()
    assert loaded.weight.grad is not None


def test_classes_that_json_cannot_hold_leave_no_file(tmp_path):
    head = LinearHead(WEIGHT, classes=np.array([b"a", b"b", b"c"]))
    with pytest.raises(TypeError, match="numbers or strings"):
        head.save(tmp_path / "head")
    assert list(tmp_path.iterdir()) == []


def test_build_head_copies_the_tensors():
    tensors = {"weight": WEIGHT.clone(), "scale": torch.tensor(2.0)}
    head = build_head({"type": "cosine"}, tensors, ["a", "b", "c"])
    tensors["weight"] += 1
    assert torch.equal(head.weight, WEIGHT)
    assert head.classes.tolist() == ["a", "b", "c"]


LINEAR = {"type": "linear", "normalize": False}
INTEGERS = {"dtype": "<i8", "values": [1, 2, 3]}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "'head'"),
        ({"head": None}, "fit its weights"),
        ({"head": "linear"}, "fit its weights"),
        ({"head": {"normalize": False}}, "'type'"),
        ({"head": {"type": "linear"}}, "'normalize'"),
        ({"head": {"type": "cosine"}}, r"\['scale', 'weight'\] .*got \['bias', 'wei"),
        (
            {"head": {"type": "mlp"}},
            "affine, .*disalign, ensemble, linear, whitened; got 'mlp'",
        ),
        ({"head": {"type": ["linear"]}}, "fit its weights"),
        ({"head": {"type": "ensemble"}}, "'members'"),
        ({"head": {"type": "ensemble", "members": []}}, "belong to no member"),
        ({"head": {"type": "ensemble", "members": [LINEAR]}}, r"got \[\]"),
        ({"head": LINEAR, "classes": [1, 2, 3]}, "fit its weights"),
        ({"head": LINEAR, "classes": {"dtype": "<i8"}}, "'values'"),
        ({"head": LINEAR, "classes": INTEGERS | {"dtype": "?!"}}, r"\?!"),
        ({"head": LINEAR, "classes": INTEGERS | {"values": [1, 2]}}, "the 3 rows"),
        ({"head": LINEAR, "classes": INTEGERS | {"values": [1, 2, 2]}}, "come twice"),
        ({"head": LINEAR, "classes": INTEGERS | {"values": [1, 2, 2.5]}}, "not fit"),
        ({"head": LINEAR, "classes": INTEGERS | {"dtype": "|O"}}, "must be strings"),
    ],
)
def test_metadata_that_do_not_match_the_weights_name_the_file(
    metadata, message, tmp_path
):
    tensors = {"head.weight": WEIGHT, "head.bias": BIAS}
    write_tensors(tmp_path / "odd.safetensors", tensors, metadata)
    with pytest.raises(ValueError, match=rf"odd\.safetensors must hold .*{message}"):
        load_head(tmp_path / "odd.safetensors")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, r"got \[\]"),
        ({"bias": BIAS}, r"got \['bias'\]"),
        ({"weight": WEIGHT, "scale": torch.tensor(1.0)}, r"got \['scale', 'weight'\]"),
        ({"weight": WEIGHT, "bias": torch.ones(2)}, "of 3 numbers"),
        ({"weight": WEIGHT, "center": torch.ones(3)}, "of 2 numbers"),
        ({"weight": WEIGHT[0]}, r"shape \[2\]"),
        ({"weight": WEIGHT * float("nan")}, r"rows \[0, 1, 2\]"),
    ],
)
def test_weights_that_do_not_match_the_metadata_name_the_file(
    tensors, message, tmp_path
):
    named = {f"head.{name}": tensor for name, tensor in tensors.items()}
    write_tensors(tmp_path / "odd", named, {"head": LINEAR})
    with pytest.raises(ValueError, match=rf"odd must hold .*{message}"):
        load_head(tmp_path / "odd")


def test_tensors_of_no_member_name_the_file(tmp_path):
    HEADS["ensemble"].save(tmp_path / "odd")
    tensors, metadata = read_tensors(tmp_path / "odd")
    metadata["head"]["members"].pop()
    write_tensors(tmp_path / "odd", tensors, metadata)
    with pytest.raises(ValueError, match=r"odd must .*members.1.scale.* no member"):
        load_head(tmp_path / "odd")


def test_tensors_beside_the_head_are_ignored(tmp_path):
    HEADS["bias"].save(tmp_path / "head")
    tensors, metadata = read_tensors(tmp_path / "head")
    write_tensors(tmp_path / "head", tensors | {"statistics.sums": X}, metadata)
    assert torch.equal(load_head(tmp_path / "head")(X), HEADS["bias"](X))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file_is_named(share, tmp_path):
    path = tmp_path / "cut.safetensors"
    HEADS["centered"].save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"cut\.safetensors must be a whole"):
        load_head(path)


def test_pickled_file_is_named_and_not_loaded(tmp_path):
    path = tmp_path / "head.pt"
    for data in (pickle.dumps({"weight": [1.0] * 99}), b"PK\x03\x04", b"weights"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"head\.pt must be a whole"):
            load_head(path)
    torch.save(HEADS["linear"], path)
    with pytest.raises(ValueError, match=r"head\.pt must be a whole"):
        load_head(path)


def test_head_of_another_library_is_named(tmp_path):
    save_file({"weight": WEIGHT}, tmp_path / "other", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="other must carry headtail's metadata"):
        load_head(tmp_path / "other")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors does not exist"):
        load_head(tmp_path / "none.safetensors")


def test_other_programs_can_read_the_weights(tmp_path):
    LinearHead(WEIGHT, BIAS, classes=["a", "b", "c"]).save(tmp_path / "head")
    tensors = load_file(tmp_path / "head")
    assert torch.equal(tensors["head.weight"], WEIGHT)
    assert torch.equal(tensors["head.bias"], BIAS)
    size = int.from_bytes((tmp_path / "head").read_bytes()[:8], "little")
    header = json.loads((tmp_path / "head").read_bytes()[8 : 8 + size])
    assert json.loads(header["__metadata__"]["headtail"])["head"]["type"] == "linear"
