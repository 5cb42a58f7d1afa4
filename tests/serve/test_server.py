"""The process: connections that ask nothing, and threads."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import httpx
import pytest
import torch

from headtail.serve import Service, serve, server


@contextmanager
def running(head, monkeypatch):
    """Serve in a thread; yield host and port."""
    ready, servers, said = threading.Event(), [], []
    build = server._Server

    def built(*given):
        servers.append(build(*given))
        return servers[0]

    def answers(address):
        said.append(address)
        ready.set()

    monkeypatch.setattr(server, "_Server", built)
    thread = threading.Thread(
        target=serve, args=(head,), kwargs={"port": 0, "ready": answers}
    )
    thread.start()
    try:
        assert ready.wait(60)
        url = httpx.URL(said[0])
        yield url.host, url.port
    finally:
        servers[0].should_exit = True
        thread.join(60)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /",
    ],
)
def test_a_connection_that_asks_nothing_is_closed(begun, heads, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_PATIENCE_S", 0.5)
    head = tmp_path / "head"
    head.write_bytes(heads("ncm").read_bytes())
    with (
        running(head, monkeypatch) as place,
        socket.create_connection(place, timeout=4) as idle,
        # One that asks now and then stays.
        httpx.Client(base_url=f"http://{place[0]}:{place[1]}") as client,
    ):
        idle.sendall(begun)
        own = None
        for _ in range(8):
            answer = client.get("/health")
            stream = answer.extensions["network_stream"]
            port = stream.get_extra_info("client_addr")[1]
            assert own in (None, port)
            own = port
            time.sleep(0.2)
        with suppress(ConnectionResetError):
            while idle.recv(4096):
                pass


def test_a_crowd_that_asks_nothing_keeps_nobody_out(heads, tmp_path):
    (tmp_path / "head").write_bytes(heads("ncm").read_bytes())
    command = "ulimit -n 128; exec $0 -m headtail serve head --port 0 2> log"
    process = subprocess.Popen(
        ["bash", "-c", command, sys.executable],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        log, said = tmp_path / "log", ""
        while not said.endswith("\n"):
            assert process.poll() is None
            time.sleep(0.1)
            said = log.read_text() if log.exists() else ""
        address = httpx.URL(said.split()[-1])
        place = (address.host, address.port)
        with ExitStack() as crowd:
            for _ in range(150):
                crowd.enter_context(socket.create_connection(place))
            begin = time.monotonic()
            while time.monotonic() - begin < 10:
                with suppress(httpx.TransportError):
                    if httpx.get(f"{address}/health", timeout=2).is_success:
                        break
            else:
                pytest.fail("Nobody is answered while others ask nothing.")
    finally:
        process.kill()
        process.wait()


def test_a_head_is_opened_on_as_many_threads_as_it_changes_on(heads, monkeypatch):
    class SeenError(Exception):
        pass

    def opened(*_):
        assert torch.get_num_threads() == 1
        raise SeenError

    before = torch.get_num_threads()
    monkeypatch.setattr(Service, "open", opened)
    torch.set_num_threads(2)
    try:
        with pytest.raises(SeenError):
            serve(heads("ncm"), port=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "most"),
    [
        (1024, 4096, 4096, 2048),
        (1024, -1, 8192, 4096),
        (1024, 2**20, 8192, 4096),
        (2**20, 2**20, 2**20, 4096),
        (-1, -1, -1, 4096),
    ],
)
def test_half_of_the_files_that_may_be_open_are_connections(
    soft, hard, allowed, most, monkeypatch
):
    limit = [soft, hard]
    system = SimpleNamespace(
        RLIMIT_NOFILE=7,
        RLIM_INFINITY=-1,
        getrlimit=lambda _: tuple(limit),
        setrlimit=lambda _, new: limit.__setitem__(slice(None), new),
    )
    monkeypatch.setattr(server, "resource", system)
    assert server._most_connections() == most
    assert limit == [allowed, hard]
    monkeypatch.setattr(server, "resource", None)
    assert server._most_connections() == 4096
