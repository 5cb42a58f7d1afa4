import copy
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from headtail import (
    CompositionalClassifier,
    CosineHead,
    CountAwareTransferClassifier,
    FeatureSet,
    LinearClassifier,
    NearestClassMeanClassifier,
)
from headtail.matching import name_classes
from headtail.serve import Service, build_app

NAMES = ("ant", "bee", "cat", "dog")
COUNTS = (30, 12, 6, 3)
N_FEATURES = 6


def examples(position, n, seed=0):
    """Return features of a class, which lies on an axis of its own."""
    noise = np.random.default_rng([seed, position]).normal(size=(n, N_FEATURES))
    return 3 * np.eye(N_FEATURES)[position] + noise


def rows(position, n=2, seed=1):
    return torch.from_numpy(examples(position, n, seed))


def training():
    features = np.concatenate([examples(i, n) for i, n in enumerate(COUNTS)])
    return FeatureSet(features, np.repeat(np.arange(4), COUNTS), NAMES)


def build(kind):
    base = CosineHead(torch.eye(4, N_FEATURES), classes=[0, 1, 2, 3])
    return {
        "ncm": NearestClassMeanClassifier(),
        "euclidean": NearestClassMeanClassifier("euclidean"),
        "compositional": CompositionalClassifier(base, donors=(0, 10)),
        "count-aware": CountAwareTransferClassifier(random_state=0),
        "linear": LinearClassifier(epochs=1, random_state=0),
        "centered": NearestClassMeanClassifier("centered"),
    }[kind]


@cache
def _fitted(kind):
    estimator, data = build(kind), training()
    estimator.fit(data.features, data.targets)
    name_classes(estimator, data)
    return estimator


def fitted(kind):
    """Return a classifier of one's own; each kind is fitted once."""
    return copy.deepcopy(_fitted(kind))


@pytest.fixture(scope="session")
def heads(tmp_path_factory):
    """Return the file of a fitted head; each is fitted once."""
    folder = tmp_path_factory.mktemp("heads")

    def head(kind):
        path = folder / f"{kind}.safetensors"
        if not path.exists():
            fitted(kind).save_classifier(path)
        return path

    return head


@pytest.fixture
def open_service(heads, tmp_path):
    """Open a head in tmp_path; opening it again closes it before."""
    opened = []

    def open_one(kind="ncm", **settings):
        for service in opened:
            service.close()
        path = tmp_path / f"{kind}.safetensors"
        if not path.exists():
            shutil.copy(heads(kind), path)
        opened.append(Service.open(path, **settings))
        return opened[-1]

    yield open_one
    for service in opened:
        service.close()


@pytest.fixture
def service(open_service):
    return open_service()


@pytest.fixture
def client(service):
    return client_of(service)


def client_of(service, **settings):
    return TestClient(build_app(service, **settings), base_url="http://127.0.0.1")
