"""Files that change while their features are mapped."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from headtail import FeatureSet
from headtail.cli import fit as fit_command
from headtail.files import unchanged

OLD, NEW = np.zeros((4000, 64)) + 1, np.zeros((10, 64)) + 2


@pytest.fixture(params=[".npz", ".safetensors"])
def mapped(request, tmp_path):
    """Write features and load them; they stay on disk."""
    path = tmp_path / f"train{request.param}"
    FeatureSet(OLD, np.arange(4000) % 2).save(path)
    return path, FeatureSet.load(path)


def test_what_takes_the_place_of_a_file_does_not_reach_its_map(mapped):
    path, data = mapped
    with unchanged(path):
        FeatureSet(NEW, np.arange(10) % 2).save(path)
        assert (data.features == OLD).all()
    assert (FeatureSet.load(path).features == NEW).all()


def write_into(path):
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(b"12345678")
    os.utime(path, ns=(1, 1))  # the clocks of some file systems are coarse


def test_a_file_that_is_written_to_in_place_is_named(mapped):
    path, _ = mapped
    expected = rf"{path.name} must stay as it is .* replace files by renaming new ones"
    with pytest.raises(OSError, match=expected), unchanged(None, path):
        write_into(path)


def test_a_shard_that_is_written_to_in_place_is_named(tmp_path):
    FeatureSet(NEW, np.arange(10) % 2).save(tmp_path / "shards")
    shard = tmp_path / "shards" / "part-00000.safetensors"
    with (
        pytest.raises(OSError, match=r"part-00000\.safetensors must stay"),
        unchanged(tmp_path / "shards"),
    ):
        os.truncate(shard, shard.stat().st_size - 8)


def change_and_fail(path):
    path.write_text("newer")
    raise KeyError


def test_an_error_inside_comes_first(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), unchanged(tmp_path / "a"):
        change_and_fail(tmp_path / "a")


def test_a_file_that_is_gone_or_only_read_is_no_change(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("old")
    with unchanged(tmp_path / "a", tmp_path / "b"):
        (tmp_path / "a").unlink()
        (tmp_path / "b").read_text()


def test_a_head_is_not_written_from_features_that_changed(files, run, monkeypatch):
    fit_method = fit_command.fit_method

    def while_it_is_written_to(*arguments, **options):
        os.utime(files / "train.npz", ns=(1, 1))
        return fit_method(*arguments, **options)

    monkeypatch.setattr(fit_command, "fit_method", while_it_is_written_to)
    code, out, err = run("fit", "train.npz", "--method", "ncm", "-o", "a.safetensors")
    assert (code, out) == (2, "")
    assert err.startswith("Error: train.npz must stay as it is while it is read")
    assert not (files / "a.safetensors").exists()


CUT = """
import sys
import numpy as np
from headtail.features.files import load_columns
features = load_columns(sys.argv[1]).features
open(sys.argv[1], "r+b").truncate(1000)
print("cut", flush=True)
np.asarray(features).sum()
print("read")
"""


def test_a_file_cut_short_in_place_ends_the_process(tmp_path):
    path = tmp_path / "train.npz"
    FeatureSet(OLD, None).save(path)
    ended = subprocess.run(
        [sys.executable, "-c", CUT, path], capture_output=True, timeout=60, text=True
    )
    assert ended.stdout == "cut\n"
    assert ended.returncode == -signal.SIGBUS
