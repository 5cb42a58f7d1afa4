"""The same seed gives the same bytes, on one thread and on two."""

import hashlib

import numpy as np
import pytest
import torch

from headtail.features import FeatureSet
from headtail.workflow import fit_method
from tools import determinism


@pytest.fixture
def threads():
    """Set torch's number of threads; put it back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def digest(path, method, seed=0):
    labels = np.repeat(np.arange(4), [60, 30, 10, 4])
    noise = np.random.default_rng(0).normal(size=(len(labels), 512))
    data = FeatureSet((np.eye(512)[labels] * 9 + noise).astype(np.float32), labels)
    fit_method(data, method, random_state=seed).save_classifier(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("short_trainings")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("method", ["ncm", "crt"])
def test_the_same_seed_gives_the_same_bytes(method, n_threads, threads, tmp_path):
    threads(n_threads)
    assert digest(tmp_path / "a", method) == digest(tmp_path / "b", method)


@pytest.mark.usefixtures("short_trainings")
def test_another_seed_gives_other_bytes(tmp_path):
    assert digest(tmp_path / "a", "crt") != digest(tmp_path / "b", "crt", seed=1)


def fake_runs(monkeypatch, *runs):
    left = iter(runs)
    monkeypatch.setattr(determinism, "_run", lambda *_: next(left))
    monkeypatch.setattr("sys.argv", ["determinism"])


def test_the_table_tells_what_differs(monkeypatch, capsys):
    once = {"ncm": "a", "cosine": "b"}
    fake_runs(monkeypatch, once, once, {**once, "cosine": "c"}, {**once, "cosine": "c"})
    assert determinism.main() == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| `ncm` | yes | yes | yes |",
        "| `cosine` | yes | yes | no |",
    ]


def test_what_cannot_be_repeated_fails(monkeypatch, capsys):
    once = {"ncm": "a"}
    fake_runs(monkeypatch, once, {"ncm": "x"}, once, once)
    assert determinism.main() == 1
    captured = capsys.readouterr()
    assert "| `ncm` | no | yes | yes |" in captured.out
    assert captured.err == "not repeatable: ncm\n"
