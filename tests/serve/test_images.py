"""Images by the network of a run: the same features as when they are extracted."""

import base64
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from headtail import NearestClassMeanClassifier
from headtail.datasets import ImageSet, Preprocessing
from headtail.features import extract
from headtail.serve import ImageFeatures, RefusedError, Service
from headtail.training import ImageClassifier, build_backbone, new_head
from tests.serve.conftest import client_of
from tests.serve.test_app import detail


def network(**preprocessing):
    torch.manual_seed(0)
    backbone = build_backbone("resnet20", width=4)
    head = new_head("linear", backbone.n_features, 2)
    return ImageClassifier(backbone, head, Preprocessing(**preprocessing))


MODEL = network(size=16, resize=20)
N_FEATURES = MODEL.backbone.n_features


def pixels(seed, height=40, width=30):
    generator = np.random.default_rng(seed)
    low = generator.integers(0, 255, (2, 2, 3), np.uint8)
    return np.asarray(Image.fromarray(low).resize((width, height)))


def png(image):
    file = BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


@pytest.fixture
def client(tmp_path):
    features = extract_features([pixels(0), pixels(1)])
    base = NearestClassMeanClassifier().fit(features, ["red", "blue"])
    base.save_classifier(tmp_path / "head")
    service = Service.open(tmp_path / "head")
    yield client_of(service, images=ImageFeatures(MODEL, N_FEATURES))
    service.close()


def extract_features(images):
    data = ImageSet(images, [0] * len(images))
    found = extract(MODEL.backbone, data, preprocessing=MODEL.preprocessing)
    return found.features


def test_features_are_those_of_extraction():
    images = [pixels(seed) for seed in range(3)]
    found = ImageFeatures(MODEL, N_FEATURES)([png(image) for image in images])
    torch.testing.assert_close(found.float(), torch.as_tensor(extract_features(images)))


def test_images_are_predicted_and_added(client):
    kind = {"Content-Type": "image/png"}
    answer = client.post("/predict/image?top_k=1", content=png(pixels(1)), headers=kind)
    assert answer.json()["predictions"][0]["classes"] == ["blue"]
    images = [base64.b64encode(png(pixels(7))).decode()]
    added = client.post("/classes", json={"name": "new", "images": images})
    assert (added.status_code, added.json()["n_examples"]) == (201, 1)
    assert client.post("/examples", json={"name": "red", "images": images}).json() == {
        "version": 2,
        "id": 2,
        "n_examples": 2,
    }
    answer = client.post("/predict/image", content=png(pixels(7)), headers=kind)
    assert answer.json()["predictions"][0]["classes"][0] == "new"


def test_what_is_no_image_is_refused(client):
    kind = {"Content-Type": "image/png"}
    answer = client.post("/predict/image", content=b"no image", headers=kind)
    assert "image 0 must be a whole image" in detail(answer, 422)
    cut = client.post("/predict/image", content=png(pixels(0))[:-40], headers=kind)
    assert "image 0 must be a whole image" in detail(cut, 422)
    body = {"name": "new", "images": ["é"]}
    assert "image 0 is not" in detail(client.post("/classes", json=body), 422)
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    answer = client.post("/predict/image", content=program, headers=kind)
    assert "must be a whole image" in detail(answer, 422)


def test_images_must_be_taken_by_the_server(tmp_path):
    base = NearestClassMeanClassifier().fit(np.eye(2), [0, 1])
    client = client_of(Service(base))
    kind = {"Content-Type": "image/png"}
    answer = client.post("/predict/image", content=b"", headers=kind)
    assert "start it with --network" in detail(answer, 409)


def header(width, height):
    """Return a PNG that says its size and holds nothing."""

    def part(kind, content):
        body = kind + content
        return (
            struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", size) + part(b"IDAT", b"")


def test_sizes_are_bounded_before_anything_is_unpacked():
    images = ImageFeatures(MODEL, N_FEATURES)
    with pytest.raises(RefusedError, match="at most 134,217,728 pixels; image 2"):
        images([header(8000, 8000)] * 3)
    with pytest.raises(RefusedError, match="32 times as long as wide"):
        images([header(1, 100)])
    with pytest.raises(RefusedError, match="must be a whole image"):
        images([header(60_000, 60_000)])


def test_a_network_without_a_size_takes_small_images_of_one_size():
    images = ImageFeatures(network(), N_FEATURES)
    assert images([png(pixels(0)), png(pixels(1))]).shape == (2, N_FEATURES)
    with pytest.raises(RefusedError, match="of one size for this network"):
        images([png(pixels(0)), png(pixels(1, 31))])
    with pytest.raises(RefusedError, match="at most 262,144 pixels"):
        images([header(600, 600)])


def test_the_network_must_fit_the_head():
    with pytest.raises(ValueError, match=f"must give the 7 features .*{N_FEATURES}"):
        ImageFeatures(MODEL, 7)
