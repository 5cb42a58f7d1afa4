"""Bodies that would cost far more to read than to send."""

import tracemalloc

import pytest

from headtail.serve import Limits
from headtail.serve.handlers import Handlers
from tests.serve.conftest import client_of
from tests.serve.test_app import detail

KIND = {"Content-Type": "application/json"}
MANY = 100_000
LONG = {
    "numbers": b'{"features": [[' + b"1," * MANY + b"1]]}",
    "rows": b'{"features": [' + b"[]," * MANY + b"[]]}",
    "fields": b'{"features": [[1]], "x": [' + b"{}," * MANY + b"{}]}",
    "images": b'{"name": "emu", "images": [' + b'"",' * MANY + b'""]}',
}


@pytest.mark.parametrize("case", LONG)
def test_a_body_of_too_many_values_is_not_parsed(service, case):
    client = client_of(service, limits=Limits(max_batch=9))
    tracemalloc.start()
    for route in ("/predict", "/classes", "/examples"):
        answer = client.post(route, content=LONG[case], headers=KIND)
        assert "at most 9 rows of 6 numbers" in detail(answer, 413)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * len(LONG[case])


def test_a_full_batch_is_not_too_many(service):
    client = client_of(service, limits=Limits(max_batch=3000))
    full = {"features": [[0.5] * 6] * 3000, "top_k": 1}
    assert len(client.post("/predict", json=full).json()["predictions"]) == 3000


def test_only_a_short_body_is_read_between_other_requests(service):
    handlers = Handlers(service)
    assert handlers.is_quick(b" " * 2**16)
    assert not handlers.is_quick(b" " * (2**16 + 1))
