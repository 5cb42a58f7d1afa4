"""Small valid files of every format, as bytes by name."""

import gzip
import io
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from headtail import (
    CompositionalClassifier,
    CosineHead,
    FeatureSet,
    LinearClassifier,
    LinearHead,
    NearestClassMeanClassifier,
)
from headtail.heads import AffineHead, CausalNormHead, EnsembleHead
from headtail.report import build_report, save_report
from headtail.statistics import ClassStatistics, save_statistics
from headtail.training import ImageClassifier, build_backbone, new_head
from headtail.workflow import compare

X = np.arange(1, 7, dtype=np.float32).reshape(2, 3) / 7
Y = np.array([1, 0])


def _bytes(save, name):
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, name))
        return Path(folder, name).read_bytes()


@cache
def features(suffix):
    """Feature files with and without labels, names, and 8-bit numbers."""
    sets = {
        "plain": FeatureSet(X, Y),
        "named": FeatureSet(X, Y, ("ox", "größe")),
        "bare": FeatureSet(X.astype("f8"), None),
    }
    return {name: _bytes(data.save, f"a{suffix}") for name, data in sets.items()}


def build():
    """Make all of them: what is drawn must not depend on when that happens."""
    for made in (archives, shards, tables, heads, classifiers, lists, pictures):
        made()
    for made in (states, statistics, network, reports):
        made()


def archives():
    """All .npz files of features."""
    return features(".npz") | packed_arrays()


def shards():
    """All safetensors files of features."""
    return features(".safetensors")


@cache
def packed_arrays():
    """Compressed feature files, with text labels and with 8-bit features."""

    def packed(**arrays):
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        return stream.getvalue()

    small = {"scale": np.array(0.5), "zero_point": np.array(3)}
    return {
        "text": packed(features=X, labels=np.array(["a", "bb"])),
        "8 bits": packed(features=np.ones((2, 3), np.uint8), labels=Y, **small),
    }


@cache
def tables():
    """Parquet files of other programs: codecs, text labels, several groups."""
    columns = {"features": [[1.0, 2.0]] * 4, "label": ["a", "b", "a", "b"]}
    ways = {
        "snappy": {},
        "zstd": {"compression": "zstd"},
        "gzip": {"compression": "gzip", "row_group_size": 2},
        "plain": {"compression": "none", "use_dictionary": False},
        "version 1": {"version": "1.0", "data_page_version": "2.0"},
    }
    found = dict(features(".parquet"))
    for name, options in ways.items():
        stream = io.BytesIO()
        pq.write_table(pa.table(columns), stream, **options)
        found[name] = stream.getvalue()
    return found


@cache
def heads():
    """Heads of several types."""
    weight = torch.arange(6.0).reshape(2, 3) + 1
    ones = torch.ones(2)
    linear = LinearHead(weight, ones, classes=np.array(["a", "b"]))
    built = {
        "linear": linear,
        "cosine": CosineHead(weight, 16.0, classes=np.array([3, 7])),
        "affine": AffineHead(linear, ones, ones, classes=linear.classes),
        "ensemble": EnsembleHead([LinearHead(weight), CosineHead(weight, 2.0)]),
        "causal": CausalNormHead(weight[:, :2], ones, n_chunks=2, alpha=1.0),
    }
    return {name: _bytes(head.save, "a") for name, head in built.items()}


@cache
def classifiers():
    """Fitted estimators."""
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], [12, 6, 3])
    data = rng.normal(size=(21, 4)) + np.repeat(np.eye(3, 4) * 4, [12, 6, 3], 0)
    built = {
        "linear": LinearClassifier(epochs=1, random_state=0),
        "means": NearestClassMeanClassifier(),
        "composed": CompositionalClassifier(LinearClassifier(epochs=1), donors=0),
    }
    return {
        name: _bytes(estimator.fit(data, y).save_classifier, "a")
        for name, estimator in built.items()
    }


@cache
def statistics():
    """Class statistics with and without names."""
    found = ClassStatistics(2, 3).update(X, Y)
    return {
        "plain": _bytes(lambda path: save_statistics(path, found), "a"),
        "named": _bytes(lambda path: save_statistics(path, found, ["a", "b"]), "a"),
    }


@cache
def lists():
    """List files, plain and packed."""
    text = b"cat/1.jpg 0\nlynx/a b.jpg 1\n\n../x.jpg 2\n"
    return {"plain": text, "packed": gzip.compress(text, mtime=0)}


@cache
def pictures():
    """Images of all formats, by Pillow's names of them."""
    found = {}
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    for kind in ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", "EPS"):
        stream = io.BytesIO()
        pixels.save(stream, kind)
        found[kind] = stream.getvalue()
    return found


@cache
def states():
    """What a training run goes on from."""
    stream = io.BytesIO()
    state = {"model": {"w": torch.ones(2)}, "optimizer": {"lr": 0.5}, "rows": [{}]}
    torch.save(state, stream)
    return {"state": stream.getvalue()}


@cache
def network():
    """The network of a training, its tensors kept from the smallest backbone."""
    backbone = build_backbone("resnet20")
    model = ImageClassifier(backbone, new_head("linear", backbone.n_features, 2))
    return {"network": _bytes(model.save, "a")}


@cache
def reports():
    """A report of two methods on ten classes of a simulated tail."""
    counts = [150, 120, 101, 30, 20, 19, 9, 5, 3, 2]
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(10, 4))

    def drawn(counts):
        labels = np.repeat(np.arange(10), counts)
        values = centers[labels] + rng.normal(size=(len(labels), 4))
        return FeatureSet(values.astype(np.float32), labels)

    methods = {
        "base": NearestClassMeanClassifier(),
        "transfer": CompositionalClassifier(LinearClassifier(epochs=1), donors=0),
    }
    found = compare(methods, drawn(counts), drawn([3] * 10), n_replicates=20)
    save = partial(save_report, build_report(found))
    return {"report": _bytes(save, "report.json")}
