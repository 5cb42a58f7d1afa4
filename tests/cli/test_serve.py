"""``headtail serve``: a process that answers, and ends when it is told to."""

import os
import signal
import subprocess
import sys
import threading
from importlib import import_module
from types import SimpleNamespace

import httpx
import pytest

from headtail.serve import Service, read_token, server


def start(folder, *words):
    """Start a server; return its process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headtail", "serve", *words, "--port", "0"],
        cwd=folder,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    guard = threading.Timer(120, process.kill)
    guard.daemon = True
    guard.start()
    line = process.stderr.readline()
    guard.cancel()
    assert line.startswith("Serving head.safetensors on http://127.0.0.1:"), line
    return process, line.split()[-1]


def test_a_process_serves_and_keeps_what_it_was_told(head, run):
    process, address = start(head.parent, "head.safetensors")
    try:
        body = {"name": "emu", "features": [[0, 0, 0, 0, 3, 0]]}
        added = httpx.post(f"{address}/classes", json=body)
        assert (added.status_code, added.json()["version"]) == (201, 1)
        # Another server on the same head.
        code, out, err = run("serve", "head.safetensors", "--port", "0")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "head.safetensors.journal must be open in one process" in err
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
    assert not (head.parent / "head.safetensors.journal-wal").exists()
    service = Service.open(head)
    service.close()
    assert service.snapshot.names[-1] == "emu"


@pytest.fixture
def stopped(monkeypatch):
    """Let a server end as soon as it answers; return the addresses that it said."""
    said = []

    async def startup(self, sockets=None):
        await super(server._Server, self).startup(sockets=sockets)
        said.append(self._listening.getsockname())
        self.should_exit = True

    monkeypatch.setattr(server._Server, "startup", startup)
    return said


def test_options_are_taken(head, run, stopped, monkeypatch):
    (head.parent / "token").write_text("0123456789abcdef\n")
    words = ("serve", "head.safetensors", "--port", "0", "--journal", "mine")
    code, out, err = run(
        *words,
        *("--host", "0.0.0.0", "--token-file", "token", "--max-body-mb", "0.5"),
        *("--max-batch", "9", "--rate", "0", "--read-rate", "7"),
    )
    assert (code, out, err) == (0, "", "")
    assert stopped[0][0] == "0.0.0.0"
    assert (head.parent / "mine").exists()
    assert not (head.parent / "head.safetensors.journal").exists()
    monkeypatch.setenv("HEADTAIL_TOKEN", "abcdef0123456789")
    assert run(*words, "--host", "0.0.0.0")[0] == 0
    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    assert handlers == [signal.default_int_handler, signal.SIG_DFL]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--host", "0.0.0.0"), "A token must be there where other machines can ask"),
        (("--host", "no host"), "--host and --port must be an address"),
        (("--host", "192.0.2.1", "--token-file", "token"), "Cannot assign"),
        (("--port", "99999"), "--port must be 0 to 65535; got 99999"),
        (("--token-file", "gone"), "No such file"),
        (("--token-file", "short"), "short must hold a token of at least 16"),
        (("--journal", "no/a"), "The folder of no/a must exist"),
        (("--journal", "train.npz"), "train.npz must be a whole journal"),
        (("--network", "gone"), "gone"),
        (("--max-batch", "0"), "max_batch must be at least 1"),
        (("--max-body-mb", "inf"), "--max-body-mb must be a number above 0; got inf"),
        (("--max-body-mb", "nan"), "--max-body-mb must be a number above 0; got nan"),
        (("--max-body-mb", "-1"), "--max-body-mb must be a number above 0; got -1"),
        (("--rate", "-1"), "A rate must be at least 0"),
    ],
)
def test_what_cannot_be_served_is_one_line(words, message, head, run, stopped):
    (head.parent / "token").write_text("0123456789abcdef")
    (head.parent / "short").write_text("0123")
    code, out, err = run("serve", "head.safetensors", "--port", "0", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: ")
    assert message in err
    assert not stopped


def test_the_journal_of_another_head_is_refused(head, run, stopped):
    assert run("serve", "head.safetensors", "--port", "0")[0] == 0
    run("fit", "test.npz", "--method", "ncm", "-o", "head.safetensors")
    code, _, err = run("serve", "head.safetensors", "--port", "0")
    assert (code, err.count("\n")) == (2, 1)
    assert "it is that of another one" in err


def test_a_signal_before_the_server_runs_ends_it_too():
    told = SimpleNamespace(should_exit=False)
    with server._ending(told):
        signal.raise_signal(signal.SIGTERM)
    assert told.should_exit


def test_a_port_that_is_taken_is_named(head, run, stopped):
    with server.socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = run("serve", "head.safetensors", "--port", port)
    assert (code, err.count("\n")) == (2, 1)
    assert "in use" in err


def test_without_the_extra_only_serving_fails(head, run, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("headtail.serve"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, err = run("serve", "head.safetensors", "--port", "0")
    assert (code, err.count("\n")) == (2, 1)
    assert "pip install 'headtail[serve]'" in err


def test_the_commands_do_not_load_the_server(monkeypatch):
    for name in list(sys.modules):
        if name.startswith(("headtail.serve", "headtail.cli")):
            monkeypatch.delitem(sys.modules, name)
    import_module("headtail.cli")
    assert "headtail.cli.serve" in sys.modules
    assert "headtail.serve" not in sys.modules


def test_a_token_comes_from_the_file_first(tmp_path, monkeypatch):
    monkeypatch.delenv("HEADTAIL_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("HEADTAIL_TOKEN", " abcdef0123456789\n")
    assert read_token(None) == "abcdef0123456789"
    (tmp_path / "a").write_text("0123456789abcdef\n")
    assert read_token(tmp_path / "a") == "0123456789abcdef"
    (tmp_path / "a").write_text("0123456789abcdé" * 2)
    with pytest.raises(ValueError, match="printable ASCII"):
        read_token(tmp_path / "a")
