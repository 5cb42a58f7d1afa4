"""Every route, by HTTP and in one process."""

import asyncio
import json
import re
from urllib.parse import quote

import numpy as np
import pytest
from starlette.testclient import TestClient

from headtail import NearestClassMeanClassifier
from headtail.registry import load_classifier
from headtail.serve import Limits, Service, build_app
from headtail.serve.door import Door
from headtail.serve.metrics import Metrics
from tests.serve.conftest import NAMES, client_of, examples, fitted

ROWS = examples(0, 2, seed=9).tolist()


def detail(answer, status):
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["detail"]
    return answer.json()["detail"]


def test_predictions_are_those_of_the_classifier(client):
    answer = client.post("/predict", json={"features": ROWS, "top_k": 3})
    assert answer.status_code == 200
    assert answer.json()["version"] == 0
    proba = fitted("ncm").predict_proba(np.array(ROWS))
    for row, expected in zip(answer.json()["predictions"], proba, strict=True):
        order = np.argsort(-expected, kind="stable")[:3]
        assert row["classes"] == [NAMES[i] for i in order]
        np.testing.assert_allclose(row["probabilities"], expected[order], rtol=1e-12)
        assert "donors" not in row


def test_all_classes_come_where_fewer_are_there_than_asked_for(client):
    row = client.post("/predict", json={"features": ROWS}).json()["predictions"][0]
    assert sorted(row["classes"]) == sorted(NAMES)


def test_donors_come_where_they_are_asked_for(open_service):
    client = client_of(open_service("compositional"))
    asked = {"features": ROWS[:1], "explain": True}
    (row,) = client.post("/predict", json=asked).json()["predictions"]
    assert row["donors"][0]["class"] == "ant"
    assert 0 < row["donors"][0]["share"] <= 1


def test_a_class_comes_grows_and_goes(client):
    features = examples(4, 3).tolist()
    added = client.post("/classes", json={"name": "emu", "features": features})
    assert (added.status_code, added.json()) == (
        201,
        {"version": 1, "id": 1, "n_examples": 3},
    )
    more = client.post("/examples", json={"name": "emu", "features": features[:1]})
    assert (more.status_code, more.json()["n_examples"]) == (201, 4)
    seen = client.post("/predict", json={"features": features, "top_k": 1}).json()
    assert seen["version"] == 2
    assert seen["predictions"][0]["classes"] == ["emu"]
    gone = client.delete(f"/examples/{more.json()['id']}")
    assert (gone.status_code, gone.json()) == (200, {"version": 3, "n_examples": 3})
    assert client.delete("/classes/emu").json() == {"version": 4}
    assert detail(client.delete("/classes/emu"), 404).startswith("The class must be")


def test_names_of_any_letters_can_be_taken_away(client):
    for name in ("a/b c?d", "Ʞ ☃"):
        body = {"name": name, "features": ROWS}
        assert client.post("/classes", json=body).status_code == 201
        # Percent-encoded as a whole, as clients must.
        assert client.delete(f"/classes/{quote(name, safe='')}").status_code == 200


def test_classes_come_page_by_page(client):
    client.post("/classes", json={"name": "emu", "features": ROWS})
    page = client.get("/classes", params={"offset": 3, "limit": 5}).json()
    assert page == {
        "version": 1,
        "total": 5,
        "classes": [
            {"name": "dog", "n_examples": 3, "added": False},
            {"name": "emu", "n_examples": 2, "added": True},
        ],
    }
    assert client.get("/classes", params={"offset": 9}).json()["classes"] == []
    assert "limit" in detail(client.get("/classes", params={"limit": 0}), 422)


def test_the_head_can_be_taken_away(client, tmp_path):
    client.post("/classes", json={"name": "emu", "features": ROWS})
    answer = client.get("/head")
    assert answer.headers["headtail-version"] == "1"
    (tmp_path / "taken").write_bytes(answer.content)
    taken = load_classifier(tmp_path / "taken")
    assert taken.class_names_ == (*NAMES, "emu")
    shown = client.post("/predict", json={"features": ROWS}).json()["predictions"]
    best = taken.predict_proba(np.array(ROWS)).max(axis=1)
    assert [row["probabilities"][0] for row in shown] == best.tolist()


def test_figures_are_counted_by_route(client):
    client.post("/predict", json={"features": ROWS})
    client.post("/classes", json={"name": "emu", "features": ROWS})
    client.delete("/classes/unknown")
    client.get("/nowhere/at/all")
    client.request("BREW", "/health")
    lines = client.get("/metrics").text.splitlines()
    start = "headtail_requests_total"
    for labels in (
        'method="POST",route="/predict",status="200"',
        'method="POST",route="/classes",status="201"',
        'method="DELETE",route="/classes/{name:path}",status="404"',
        'method="GET",route="none",status="404"',
    ):
        assert f"{start}{{{labels}}} 1.0" in lines
    assert not any("nowhere" in line or "BREW" in line for line in lines)
    assert {"headtail_classes 5.0", "headtail_examples 53.0"} <= set(lines)
    assert "headtail_sequence 1.0" in lines
    assert 'headtail_request_seconds_count{route="/predict"} 1.0' in lines


def test_a_client_that_leaves_is_no_failure_of_the_server(service):
    async def receive():
        return {"type": "http.disconnect"}

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    metrics = Metrics(service)
    asyncio.run(
        metrics.observing(Door(None, token=None, limits=Limits()))(scope, receive, None)
    )
    line = 'headtail_requests_total{method="POST",route="none",status="left"} 1.0'
    assert line in metrics.text().decode()


def test_the_page_of_routes_shows_bodies_and_answers(client):
    page = client.get("/openapi.json").json()
    assert set(page["paths"]) == {
        *("/predict", "/predict/image", "/classes", "/classes/{name}", "/examples"),
        *("/examples/{number}", "/head", "/health", "/metrics"),
    }
    body = page["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body["application/json"]["schema"]["properties"]) == {
        *("features", "top_k", "explain"),
    }
    assert "swagger" in client.get("/docs").text


def test_a_key_makes_a_change_once(client):
    body = {"name": "ant", "features": ROWS}
    keyed = {"headers": {"Idempotency-Key": "a"}}
    first = client.post("/examples", json=body, **keyed)
    again = client.post("/examples", json=body, **keyed)
    assert (first.json(), first.status_code) == (again.json(), again.status_code)
    assert client.get("/health").json()["snapshot"] == 1
    other = client.post("/examples", json={**body, "features": ROWS[:1]}, **keyed)
    assert "stand for one request" in detail(other, 422)
    assert "stand for one request" in detail(client.delete("/examples/1", **keyed), 422)
    empty = client.delete("/examples/1", headers={"Idempotency-Key": "a b"})
    assert "printable ASCII" in detail(empty, 422)
    gone = [
        client.delete("/examples/1", headers={"Idempotency-Key": "b"}) for _ in (1, 2)
    ]
    assert [answer.json()["version"] for answer in gone] == [2, 2]


WRONG = {
    "no JSON": (b"{", "Invalid JSON"),
    "not a number": (b'{"features": [[NaN, 1, 1, 1, 1, 1]]}', "finite number"),
    "infinite": (b'{"features": [[1e999, 1, 1, 1, 1, 1]]}', "finite number"),
    "text": (b'{"features": [["1", 1, 1, 1, 1, 1]]}', "features.0.0: .*got '1'"),
    "narrow": (b'{"features": [[1, 2, 3, 4, 5, 6], [1]]}', "row 1 has 1"),
    "no row": (b'{"features": []}', "at least 1 item"),
    "empty rows": (b'{"features": [[]]}', "row 0 has 0"),
    "large": (b'{"features": [[1e39, 1, 1, 1, 1, 1]]}', "that float32 holds"),
    "other field": (b'{"features": [[1]], "x": 1}', "x: Extra inputs"),
    "top_k": (b'{"features": [[1]], "top_k": 0}', "top_k"),
    "long number": (b'{"features": [[' + b"9" * 9999 + b"]]}", "got "),
    "deep": (b"[" * 99999, "recursion|depth|Invalid JSON"),
    "no text": (b'{"features": [["\xff"]]}', "Invalid JSON"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_body_that_is_wrong_is_told_so(client, case):
    body, message = WRONG[case]
    kind = {"Content-Type": "application/json"}
    answer = client.post("/predict", content=body, headers=kind)
    assert re.search(message, detail(answer, 422))
    assert len(answer.text) < 500


def test_scores_that_are_not_finite_are_refused():
    single = np.eye(4, 6, dtype=np.float32)
    base = NearestClassMeanClassifier("euclidean").fit(9 * single, NAMES)
    client = client_of(Service(base))
    body = {"features": [ROWS[0], [3e38] * 6]}
    assert "those of row 1 are not" in detail(client.post("/predict", json=body), 422)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"features": ROWS}, "name: Field required"),
        ({"name": "emu"}, "features or images, and not both"),
        ({"name": "emu", "features": ROWS, "images": ["x"]}, "and not both"),
        ({"name": "emu", "features": [[1.0]]}, "row 0 has 1"),
    ],
)
def test_examples_that_are_wrong_change_nothing(client, body, message):
    for route in ("/classes", "/examples"):
        assert message in detail(client.post(route, json=body), 422)
    assert client.get("/health").json()["snapshot"] == 0


def test_a_batch_has_a_limit(service):
    client = client_of(service, limits=Limits(max_batch=2))
    assert client.post("/predict", json={"features": ROWS}).status_code == 200
    body = {"name": "ant", "features": ROWS + ROWS}
    for route in ("/classes", "/examples"):
        answer = client.post(route, json=body)
        assert "at most 2 rows; got 4" in detail(answer, 413)
    del body["name"]
    assert "got 4" in detail(client.post("/predict", json=body), 413)


def test_another_kind_of_body_is_refused(client):
    # What a page of another site can make a browser send without asking first.
    simple = {"Content-Type": "text/plain"}
    body = json.dumps({"name": "emu", "features": ROWS}).encode()
    for route in ("/predict", "/classes", "/examples", "/predict/image"):
        answer = client.post(route, content=body, headers=simple)
        assert "Content-Type must be" in detail(answer, 415)
    assert client.get("/health").json()["snapshot"] == 0


def test_unknown_paths_and_methods_are_told_so(client):
    assert "got GET '/x'" in detail(client.get("/x"), 404)
    assert "got PUT '/predict'" in detail(client.put("/predict"), 405)
    assert "number" in detail(client.delete("/examples/x"), 422)
    assert "got 99999" in detail(client.delete("/examples/" + "9" * 40), 404)


def test_a_full_disk_is_507_and_names_no_file(service, client, caplog):
    # No page more than there are.
    service._journal._db.execute("PRAGMA max_page_count = 1")
    for n in range(99):
        answer = client.post("/classes", json={"name": f"emu-{n}", "features": ROWS})
        if answer.status_code != 201:
            break
    assert detail(answer, 507).startswith("The disk must have room")
    assert "ncm.safetensors.journal" in caplog.text
    assert "ncm.safetensors" not in answer.text
    assert client.get("/health").json()["snapshot"] == n
    service._journal._db.execute("PRAGMA max_page_count = 100000")
    added = client.post("/classes", json={"name": f"emu-{n}", "features": ROWS})
    assert added.json()["version"] == n + 1


def test_a_journal_that_fails_otherwise_is_500(service, client, monkeypatch):
    def fail(*_):
        raise OSError("disk on fire at /secret")

    monkeypatch.setattr(service._journal, "commit", fail)
    answer = client.post("/classes", json={"name": "emu", "features": ROWS})
    assert "secret" not in detail(answer, 500)
    assert client.get("/health").json()["snapshot"] == 0


def test_a_bug_is_500_and_tells_nothing(service, monkeypatch):
    monkeypatch.setattr(service, "snapshot", None)
    app = build_app(service)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    answer = client.post("/predict", json={"features": ROWS})
    assert "NoneType" not in detail(answer, 500)


def test_a_head_that_takes_no_changes_says_why(open_service):
    client = client_of(open_service("linear"))
    assert client.post("/predict", json={"features": ROWS}).status_code == 200
    body = {"name": "emu", "features": ROWS}
    for answer in (
        client.post("/classes", json=body),
        client.post("/examples", json=body),
        client.delete("/classes/ant"),
        client.delete("/examples/1"),
    ):
        assert "it is a LinearClassifier" in detail(answer, 409)


def test_the_end_of_the_application_closes_the_journal(open_service, service):
    with client_of(service) as client:
        assert client.get("/health").status_code == 200
    body = {"name": "emu", "features": ROWS}
    assert "closing" in detail(client_of(service).post("/classes", json=body), 503)
