import sys

import numpy as np
import pytest

from headtail import FeatureSet
from headtail.cli import main

NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command in tmp_path; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["headtail", *words])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def clusters(counts, seed, names=NAMES):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = 3 * np.eye(6)[labels] + rng.normal(size=(len(labels), 6))
    return FeatureSet(features, labels, names)


@pytest.fixture
def files(tmp_path):
    """Write train.npz, test.npz and new.npz: the last has new classes among others."""
    clusters([30, 12, 6, 3], 0).save(tmp_path / "train.npz")
    clusters([9, 8, 7, 6], 1).save(tmp_path / "test.npz")
    clusters([1, 2, 0, 3, 4], 2, ["dog", "emu", "?", "ant", "fox"]).save(
        tmp_path / "new.npz"
    )
    return tmp_path


@pytest.fixture
def head(files, run):
    """Fit head.safetensors, a nearest-class-mean classifier, on train.npz."""
    words = ("fit", "train.npz", "--method", "ncm", "-o", "head.safetensors")
    assert run(*words)[0] == 0
    return files / "head.safetensors"


@pytest.fixture(autouse=True)
def _short(short_trainings):
    """Every test here."""
