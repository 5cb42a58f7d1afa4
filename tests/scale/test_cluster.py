"""What three nodes return, one of them killed, is what one process returns."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headtail import FeatureSet

pytest.importorskip("ray")

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240


def left_over(mark):
    """Return the processes whose environment holds `mark`: Ray's own have it."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
        except OSError:  # of another user, or over
            continue
    return found


@pytest.fixture
def sockets():
    """Return a folder for Ray; its name is short, as the path of a socket must be."""
    folder = tempfile.mkdtemp(prefix="ht", dir="/tmp")
    yield folder
    for process in left_over(folder):
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_killed_nodes_change_nothing(tmp_path, sockets):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "RAY_TMPDIR": sockets,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_ADDRESS", None)
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "tests.scale.cluster_run", str(tmp_path)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 0, (tmp_path / "log").read_text()[-3000:]
    facts = json.loads((tmp_path / "facts.json").read_text())

    # Each node was killed in the middle, and what it was at was begun again.
    for name, n_items in (("statistics", 20), ("extraction", 14)):
        seen = facts[name]
        assert seen["on_killed_node"] >= 2
        assert seen["begun_before"] < n_items
        assert seen["again"] >= 1
        assert seen["begun"] >= n_items + 1

    # The same bytes whichever node died, and those of one process up to rounding.
    killed, whole = (tmp_path / f"{n}.safetensors" for n in ("killed", "ray"))
    assert killed.read_bytes() == whole.read_bytes()
    ray, local = load_file(whole), load_file(tmp_path / "local.safetensors")
    for name in ("class_counts", "zero_counts"):
        assert ray[name].equal(local[name])
    for name in ("sums", "unit_sums"):
        torch.testing.assert_close(ray[name], local[name], rtol=1e-13, atol=1e-13)
    data = [FeatureSet.load(path) for path in sorted((tmp_path / "features").iterdir())]
    labels = np.concatenate([part.targets for part in data])
    rows = np.concatenate([part.features for part in data]).astype(np.float64)
    for label in range(64):
        expected = rows[labels == label].sum(axis=0)
        np.testing.assert_allclose(ray["sums"][label], expected, rtol=1e-5, atol=1e-4)

    assert "bad/0.npz must be a whole .npz file" in facts["error"]
    assert "\n" not in facts["error"]

    expected = contents(tmp_path / "local")
    assert len(expected) == 15
    assert contents(tmp_path / "killed") == expected
    assert not list(tmp_path.glob(".*"))

    end = time.monotonic() + 20
    while left_over(sockets) and time.monotonic() < end:
        time.sleep(0.1)
    assert left_over(sockets) == []
