"""Readers while classes are added: every answer is that of the state it names."""

import asyncio
import copy
import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from headtail.serve import build_app
from tests.serve.conftest import N_FEATURES, NAMES, examples, fitted

N_READS, N_CLASSES = 100, 5


@pytest.mark.parametrize("kind", ["ncm", "compositional"])
def test_every_prediction_is_right_while_classes_are_added(open_service, kind):
    service = open_service(kind)
    app = build_app(service)
    rng = np.random.default_rng(0)
    asked = 3 * rng.normal(size=(N_READS, 2, N_FEATURES))

    async def ask():
        transport = httpx.ASGITransport(app)
        base = "http://127.0.0.1"
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:

            async def read(i):
                # Some in every state: when it is there, the next change is under way.
                while service.snapshot.version < i % N_CLASSES:
                    await asyncio.sleep(0.001)
                body = {"features": asked[i].tolist()}
                return await client.post("/predict", json=body)

            async def write():
                for n in range(N_CLASSES):
                    features = examples(n, 2, seed=7 + n).tolist()
                    body = {"name": f"new-{n}", "features": features}
                    assert (await client.post("/classes", json=body)).status_code == 201

            *answers, _ = await asyncio.gather(*map(read, range(N_READS)), write())
        return answers

    answers = asyncio.run(ask())
    references, classifier = [fitted(kind)], fitted(kind)
    for n in range(N_CLASSES):
        classifier.partial_fit(examples(n, 2, seed=7 + n), [4 + n] * 2)
        references.append(classifier)
        classifier = copy.deepcopy(classifier)
    names = np.array([*NAMES, *(f"new-{n}" for n in range(N_CLASSES))])
    versions = set()
    for row, answer in zip(asked, answers, strict=True):
        assert answer.status_code == 200
        version = answer.json()["version"]
        versions.add(version)
        proba = references[version].predict_proba(row)
        for shown, expected in zip(answer.json()["predictions"], proba, strict=True):
            assert shown["classes"][0] == names[expected.argmax()]
            best = -np.sort(-expected)[:5]
            np.testing.assert_allclose(shown["probabilities"], best, atol=1e-6)
    assert len(versions) >= N_CLASSES


def test_a_thousand_clients_lost_nothing_when_that_was_measured():
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "serving.json"
    result = json.loads(path.read_text("utf-8"))
    assert result["settings"]["in_flight"] == 1000
    for name in ("readers_alone", "while_adding"):
        assert (result[name]["lost"], result[name]["wrong"]) == (0, 0)
        assert result[name]["answers"] == 10_000
    assert result["while_adding"]["states_seen"] == 21


def test_writers_at_once_make_one_change_each(open_service):
    service = open_service()
    app = build_app(service)

    async def ask():
        transport = httpx.ASGITransport(app)
        base = "http://127.0.0.1"
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            body = {"name": "emu", "features": examples(4, 1).tolist()}
            keyed = {"name": "ant", "features": examples(0, 1).tolist()}
            key = {"Idempotency-Key": "k"}
            return await asyncio.gather(
                *(client.post("/classes", json=body) for _ in range(9)),
                *(client.post("/examples", json=keyed, headers=key) for _ in range(9)),
            )

    answers = asyncio.run(ask())
    classes = [answer.status_code for answer in answers[:9]]
    assert sorted(classes) == [201] + [409] * 8
    assert len({answer.text for answer in answers[9:]}) == 1
    assert service.snapshot.version == 2
    assert service.snapshot.classifier.class_counts_.tolist() == [31, 12, 6, 3, 1]
