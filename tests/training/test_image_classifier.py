import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from headtail.datasets import Preprocessing
from headtail.files import read_tensors, write_tensors
from headtail.heads import LinearHead, build_head
from headtail.training import ImageClassifier, build_backbone, new_head
from tests.training.tiny_runs import backbone

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def classifier(kind="linear", *, seed=0, **options):
    head = new_head(kind, 64, 3, seed=seed, **options)
    model = ImageClassifier(build_backbone("resnet20", seed=seed), head)
    # Statistics that no fresh network has.
    with torch.no_grad():
        model(IMAGES)
    return model.eval()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    classifier().save(path)
    return path


@pytest.mark.parametrize("classes", [None, [4, 0, 9]])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_a_saved_network_gives_the_same_bits(kind, classes, tmp_path):
    model = classifier(kind, classes=classes)
    model.preprocessing = Preprocessing(size=6, resize=7, interpolation="bicubic")
    model.class_names, model.class_counts = ("ant", "bee", "cat"), (5, 2, 1)
    model.save(tmp_path / "model.safetensors", epoch=4)
    loaded = ImageClassifier.load(tmp_path / "model.safetensors").eval()
    assert torch.equal(loaded(IMAGES), model(IMAGES))
    assert type(loaded.head) is type(model.head)
    assert loaded.preprocessing == model.preprocessing
    assert loaded.class_names == model.class_names
    assert loaded.class_counts == model.class_counts
    assert (loaded.head.classes is None) == (classes is None)
    if classes is not None:
        assert loaded.head.classes.tolist() == classes
    assert read_tensors(tmp_path / "model.safetensors")[1]["epoch"] == 4


def test_the_same_network_is_saved_as_the_same_bytes(file, tmp_path):
    ImageClassifier.load(file).save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_head_computes_in_float32_whatever_the_backbone_does(kind):
    model = classifier(kind)
    with torch.autocast("cpu", torch.bfloat16):
        features = model.backbone(IMAGES)
        logits = model(IMAGES)
    assert features.dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert torch.equal(logits, model.head(features.float()))


def test_the_preprocessing_is_the_backbones_if_none_is_given():
    own = backbone()
    assert ImageClassifier(own, new_head("linear", 16, 2)).preprocessing.mean == (
        own.preprocessing.mean
    )


def test_head_and_backbone_must_fit():
    with pytest.raises(ValueError, match=r"the 16 features of .*; it takes 64"):
        ImageClassifier(backbone(), new_head("linear", 64, 2))


def test_new_heads():
    linear = new_head("linear", 400, 50, classes=range(50))
    assert isinstance(linear, LinearHead)
    assert not linear.bias.any()
    # Uniform up to 1/√400, as torch starts a linear layer.
    bound = torch.nn.Linear(400, 50).weight.abs().max().item()
    assert linear.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert linear.weight.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.03)
    assert linear.classes.tolist() == list(range(50))
    cosine = new_head("cosine", 4, 2, scale=5.0)
    assert cosine.scale == 5
    assert torch.equal(new_head("cosine", 4, 2).weight, cosine.weight)
    assert not torch.equal(new_head("cosine", 4, 2, seed=1).weight, cosine.weight)
    with pytest.raises(ValueError, match=r"head must be .*; got 'bilinear'"):
        new_head("bilinear", 4, 2)


def test_a_truncated_file_is_refused(file):
    content = file.read_bytes()
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"model.safetensors must be a whole"):
            ImageClassifier.load(file)


def test_a_file_of_something_else_is_refused(file, tmp_path):
    save_file(load_file(file), tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match=r"must carry headtail's metadata"):
        ImageClassifier.load(tmp_path / "plain.safetensors")
    new_head("linear", 4, 2).save(tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match=r"must hold a network whose metadata fit"):
        ImageClassifier.load(tmp_path / "head.safetensors")
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        ImageClassifier.load(tmp_path / "nowhere")


def changed(metadata, path, value):
    """Return a deep copy of the metadata with another value at a path."""
    copy = json.loads(json.dumps(metadata))
    *above, key = path
    table = copy
    for part in above:
        table = table[part]
    table[key] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("image_classifier", "backbone", "name"), "resnet32"),
        (("image_classifier", "backbone", "width"), 2),
        (("image_classifier", "backbone"), None),
        (("image_classifier", "preprocessing", "std"), [1, 0, 1]),
        (("image_classifier", "class_names"), 5),
        (("image_classifier",), {}),
        (("head",), {"type": "bilinear"}),
        (("head",), {"type": "cosine"}),
        (("classes",), {"dtype": "<i8", "values": [1, 2]}),
    ],
)
def test_metadata_that_do_not_fit_the_weights_are_refused(path, value, file):
    tensors, metadata = read_tensors(file)
    del metadata["format"]
    write_tensors(file, tensors, changed(metadata, path, value))
    with pytest.raises(ValueError, match=r"must hold a network whose metadata fit its"):
        ImageClassifier.load(file)


def test_missing_and_additional_weights_are_refused(file):
    tensors, metadata = read_tensors(file)
    del metadata["format"]
    name = "backbone.network.conv1.weight"
    for others in (
        {k: v for k, v in tensors.items() if k != name},
        tensors | {"backbone.network.conv9.weight": tensors[name]},
        tensors | {name: tensors[name][:, :2]},
    ):
        write_tensors(file, others, metadata)
        with pytest.raises(ValueError, match=r"(?s)fit its weights; .*conv"):
            ImageClassifier.load(file)


def test_the_head_can_be_built_from_the_file(file):
    tensors, metadata = read_tensors(file)
    own = {k[5:]: v for k, v in tensors.items() if k.startswith("head.")}
    head = build_head(metadata["head"], own, None)
    model = ImageClassifier.load(file)
    assert torch.equal(head.weight, model.head.weight)
