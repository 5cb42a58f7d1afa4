"""Who may ask, from where, how often and how much."""

import asyncio

import pytest

from headtail.serve import Limits, door
from headtail.serve.door import Door
from headtail.serve.rates import TokenBuckets
from tests.serve.conftest import client_of, examples
from tests.serve.test_app import detail

TOKEN = "0123456789abcdef"
BODY = {"name": "ant", "features": examples(0, 1).tolist()}


@pytest.mark.parametrize(
    "given", [None, "", TOKEN, f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}"]
)
def test_a_token_must_be_the_servers(service, given):
    client = client_of(service, token=TOKEN)
    headers = {} if given is None else {"Authorization": given}
    for method, path in (
        *(("GET", "/classes"), ("GET", "/head"), ("GET", "/metrics"), ("GET", "/docs")),
        *(("GET", "/openapi.json"), ("POST", "/classes"), ("DELETE", "/classes/ant")),
    ):
        answer = client.request(method, path, headers=headers)
        assert "must carry the server's token" in detail(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert client.get("/health", headers=headers).status_code == 200


def test_with_the_token_all_is_open_from_anywhere(service):
    client = client_of(service, token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "heads.example"}
    assert client.get("/classes", headers=headers).status_code == 200
    assert client.post("/examples", json=BODY, headers=headers).status_code == 201


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("127.0.0.1@evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_without_a_token_the_host_must_be_this_machine(client, host, status):
    assert client.get("/health", headers={"Host": host}).status_code == status
    assert client.get("/classes", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://localhost:3000", 200),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_without_a_token_no_page_of_another_site_may_ask(client, origin, status):
    assert client.get("/classes", headers={"Origin": origin}).status_code == status


def test_a_body_has_a_limit_whatever_its_header_says(service):
    client = client_of(service, limits=Limits(max_body_bytes=1000))
    kind = {"Content-Type": "application/json"}
    answer = client.post("/predict", content=b"x" * 1001, headers=kind)
    assert "at most 1,000 bytes; got 1,001" in detail(answer, 413)
    assert "Invalid JSON" in detail(
        client.post("/predict", content=b"x" * 1000, headers=kind), 422
    )
    # In pieces, without a Content-Length.
    answer = client.post(
        "/predict", content=(b"x" * 99 for _ in range(11)), headers=kind
    )
    assert "at most 1,000 bytes" in detail(answer, 413)


def run_door(messages, limits, patience_s=60, path="/predict"):
    """Send messages through a door; return what was asked for and what came back."""
    sent, asked = [], []
    waiting = list(messages)

    async def app(scope, receive, send):
        asked.append(await receive())

    async def receive():
        if not waiting:
            await asyncio.sleep(patience_s)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
    }
    gate = Door(app, token=None, limits=limits)
    asyncio.run(gate(scope, receive, send))
    assert gate._held == 0
    return asked, sent


def chunk(body, more):
    return {"type": "http.request", "body": body, "more_body": more}


def test_no_more_is_read_than_the_limit_allows():
    limits = Limits(max_body_bytes=10)
    left = [chunk(b"123456", True), chunk(b"123456", True), chunk(b"never read", True)]
    asked, sent = run_door(left, limits)
    assert (asked, sent[0]["status"]) == ([], 413)
    whole = [chunk(b"123", True), chunk(b"45", False)]
    asked, sent = run_door(whole, limits)
    assert (asked, sent) == ([chunk(b"12345", False)], [])


def test_a_slow_body_is_given_up(monkeypatch):
    monkeypatch.setattr(door, "_PATIENCE_S", 0.01)
    asked, sent = run_door([chunk(b"1", True)], Limits())
    assert (asked, sent[0]["status"]) == ([], 408)


def test_a_client_that_leaves_is_not_answered():
    assert run_door([chunk(b"1", True), {"type": "http.disconnect"}], Limits()) == (
        [],
        [],
    )


def test_bodies_of_all_requests_have_a_limit(monkeypatch):
    monkeypatch.setattr(door, "_HELD", 0.5)
    asked, sent = run_door([chunk(b"123456", False)], Limits(max_body_bytes=10))
    assert (asked, sent[0]["status"]) == ([], 503)
    assert (b"retry-after", b"1") in sent[0]["headers"]


def test_changes_and_reads_have_rates_of_their_own(service):
    client = client_of(service, limits=Limits(rate=2, read_rate=3))
    changes = [client.post("/examples", json=BODY) for _ in range(3)]
    assert [answer.status_code for answer in changes] == [201, 201, 429]
    assert "wait" in detail(changes[2], 429)
    assert 1 <= int(changes[2].headers["retry-after"]) <= 30
    assert client.delete("/examples/1").status_code == 429
    reads = [client.get("/classes").status_code for _ in range(4)]
    assert reads == [200, 200, 200, 429]
    assert client.get("/health").status_code == 200
    assert client.post("/predict", json={}).status_code == 429


def test_a_client_that_guesses_tokens_is_slowed(service):
    client = client_of(service, token=TOKEN, limits=Limits(read_rate=2))
    codes = [client.get("/classes").status_code for _ in range(3)]
    assert codes == [401, 401, 429]


def test_who_has_no_token_takes_nothing_from_who_has_it(service):
    # Behind a proxy all have one address.
    client = client_of(service, token=TOKEN, limits=Limits(rate=1, read_rate=1))
    codes = [client.post("/examples", json=BODY).status_code for _ in range(3)]
    assert codes == [401, 429, 429]
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/classes", headers=known).status_code == 200
    assert client.post("/examples", json=BODY, headers=known).status_code == 201


def test_what_anyone_may_ask_has_no_body():
    asked, _ = run_door([chunk(b"never read", True)], Limits(), path="/health")
    assert asked == [chunk(b"", False)]


def test_buckets_fill_again_and_no_further():
    now = 0.0
    buckets = TokenBuckets(60, clock=lambda: now)
    assert not any(buckets.wait_s("a") for _ in range(60))
    assert buckets.wait_s("a") == 1
    assert buckets.wait_s("b") == 0
    now = 1.5
    assert [buckets.wait_s("a"), buckets.wait_s("a")] == [0, 1]
    now = 1e6
    assert sum(not buckets.wait_s("a") for _ in range(100)) == 60


def test_a_network_of_ipv6_is_one_client_and_few_are_remembered(monkeypatch):
    buckets = TokenBuckets(1, clock=lambda: 0.0)
    assert buckets.wait_s("2001:db8::1") == 0
    assert buckets.wait_s("2001:db8::2") == 60
    assert buckets.wait_s("2001:db8:0:1::2") == 0
    monkeypatch.setattr("headtail.serve.rates._MOST_CLIENTS", 3)
    for n in range(9):
        buckets.wait_s(f"10.0.0.{n}")
    assert len(buckets._left) == 3
    assert not any(TokenBuckets(0).wait_s("a") for _ in range(9))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_body_bytes": 0}, "max_body_bytes must be at least 1; got 0"),
        ({"max_batch": 0}, "max_batch must be at least 1; got 0"),
    ],
)
def test_limits_must_leave_something(settings, message):
    with pytest.raises(ValueError, match=message):
        Limits(**settings)


@pytest.mark.parametrize("rate", [-1, float("nan"), float("inf")])
def test_a_rate_is_a_number_of_requests(rate):
    with pytest.raises(ValueError, match="at least 0 requests a minute"):
        TokenBuckets(rate)
