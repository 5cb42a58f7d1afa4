import uuid

import numpy as np
import pytest

from headtail import FeatureSet


@pytest.fixture
def memory():
    """Return the address of a new folder in this process's memory."""
    fsspec = pytest.importorskip("fsspec")
    name = f"/{uuid.uuid4().hex}"
    yield f"memory:/{name}"
    system = fsspec.filesystem("memory")
    if system.exists(name):
        system.rm(name, recursive=True)


@pytest.fixture
def upload():
    """Return a function that copies the files of a folder to an address."""
    fsspec = pytest.importorskip("fsspec")

    def upload(folder, address):
        system, path = fsspec.core.url_to_fs(address)
        for file in folder.iterdir():
            system.pipe_file(f"{path}/{file.name}", file.read_bytes())

    return upload


@pytest.fixture
def features(tmp_path):
    """Write features of three formats; later shards have larger labels."""
    generator = np.random.default_rng(0)
    (tmp_path / "features").mkdir()
    for number, suffix in enumerate(["npz", "safetensors", "parquet", "npz"]):
        rows = generator.normal(size=(7 + number, 5)).astype(np.float32)
        rows[0] = 0
        labels = generator.integers(0, 2 + number, len(rows))
        path = tmp_path / "features" / f"{number}.{suffix}"
        FeatureSet(rows, labels).save(path)
    return tmp_path / "features"
