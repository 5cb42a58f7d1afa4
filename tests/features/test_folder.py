"""A folder of shards that is not joined in memory."""

import numpy as np
import pytest

from headtail import FeatureSet
from headtail.features import folder as module
from headtail.features.files import load_columns
from headtail.shards import ShardedArray

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 4)).astype(np.float32)
Y = rng.integers(5, size=50)
NAMES = ("ant", "bee", "cat", "dog", "eel")
CUTS = [0, 7, 20, 50]


def shards(folder, suffixes=(".npz", ".safetensors", ".parquet"), x=X, **options):
    folder.mkdir()
    for number, suffix in enumerate(suffixes):
        rows = slice(CUTS[number], CUTS[number + 1])
        part = FeatureSet(x[rows], Y[rows], NAMES)
        part.save(folder / f"part-{number}{suffix}")
    return FeatureSet.load(folder, **options)


def test_shards_of_every_kind_stay_where_they_are(tmp_path):
    data = shards(tmp_path / "shards", in_memory=False)
    assert isinstance(data.features, ShardedArray)
    assert data.features.first_rows.tolist() == CUTS[:-1]
    np.testing.assert_array_equal(data.features[:], X)
    np.testing.assert_array_equal(data.labels, Y)
    assert data.class_names == NAMES
    assert repr(data) == "FeatureSet(n_samples=50, n_features=4)"


@pytest.mark.parametrize("in_memory", [True, None])
def test_small_shards_are_joined(tmp_path, in_memory):
    data = shards(tmp_path / "shards", in_memory=in_memory)
    assert isinstance(data.features, np.ndarray)
    np.testing.assert_array_equal(data.features, X)


@pytest.mark.parametrize(("limit", "kind"), [(800, np.ndarray), (799, ShardedArray)])
def test_the_limit_is_that_of_all_shards(tmp_path, monkeypatch, limit, kind):
    monkeypatch.setattr(module, "_JOINED_BYTES", limit)
    data = shards(tmp_path / "shards")
    assert X.nbytes == 800
    assert isinstance(data.features, kind)
    np.testing.assert_array_equal(data.features[:], X)


def test_one_shard_is_mapped_as_its_file_is(tmp_path):
    data = shards(tmp_path / "shards", [".npz"])
    assert isinstance(data.features.base, np.memmap)


def test_types_of_shards_are_brought_together(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    FeatureSet(X[:7].astype(np.float16), Y[:7]).save(folder / "a.npz")
    FeatureSet(X[7:], Y[7:]).save(folder / "b.npz")
    data = FeatureSet.load(folder, in_memory=False)
    assert data.features.dtype == np.float32
    np.testing.assert_array_equal(data.features[:7], X[:7].astype(np.float16))


def test_parts_stay_where_they_are(tmp_path):
    data = shards(tmp_path / "shards", in_memory=False)
    whole = FeatureSet(X, Y, NAMES)
    mine, theirs = data.split(0.3, random_state=1), whole.split(0.3, random_state=1)
    for part, expected in zip(mine, theirs, strict=True):
        assert isinstance(part.features, ShardedArray)
        np.testing.assert_array_equal(part.features[:], expected.features)
        np.testing.assert_array_equal(part.labels, expected.labels)
    np.testing.assert_array_equal(data.subset([30, 2]).features, X[[30, 2]])


@pytest.mark.parametrize(
    "name", ["copy.npz", "copy.safetensors", "copy.parquet", "copy"]
)
def test_they_can_be_saved_as_anything(tmp_path, name):
    shards(tmp_path / "shards", in_memory=False).save(tmp_path / name)
    again = FeatureSet.load(tmp_path / name)
    np.testing.assert_array_equal(again.features, X)
    np.testing.assert_array_equal(again.labels, Y)


def test_rows_of_zeros_and_of_nan_are_found_in_every_shard(tmp_path):
    x = X.copy()
    x[[3, 30]] = 0
    with pytest.warns(UserWarning, match="2 of 50 rows"):
        assert shards(tmp_path / "zeros", x=x, in_memory=False).zero_rows == 2
    x[[6, 49], 1] = np.nan
    for number in range(3):
        rows = slice(CUTS[number], CUTS[number + 1])
        np.savez(tmp_path / "zeros" / f"part-{number}.npz", features=x[rows])
    for other in (".safetensors", ".parquet"):
        for file in (tmp_path / "zeros").glob(f"*{other}"):
            file.unlink()
    with pytest.raises(ValueError, match=r"2 rows hold NaN or inf \(rows \[6, 49\]\)"):
        FeatureSet.load(tmp_path / "zeros", in_memory=False)


def test_features_of_another_dimension_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", features=np.ones(3))
    with pytest.raises(ValueError, match=r"\[n_samples, n_features\]; .* shape \[3\]"):
        FeatureSet.load(tmp_path)


def test_a_shard_that_goes_away_is_an_error(tmp_path):
    shards(tmp_path / "shards")
    features = load_columns(tmp_path / "shards", in_memory=False).features
    (tmp_path / "shards" / "part-1.safetensors").unlink()
    with pytest.raises(ValueError, match=r"part-1\.safetensors"):
        features[8]


def test_a_shard_that_is_replaced_is_an_error(tmp_path):
    shards(tmp_path / "shards")
    features = load_columns(tmp_path / "shards", in_memory=False).features
    FeatureSet(-X[7:20], Y[7:20], NAMES).save(tmp_path / "new.safetensors")
    new = tmp_path / "new.safetensors"
    new.replace(tmp_path / "shards" / "part-1.safetensors")
    with pytest.raises(ValueError, match=r"part-1\.safetensors must stay as it is"):
        features[8]


def test_many_shards_do_not_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_OPEN", 3)
    for number in range(4):
        np.savez(tmp_path / f"{number}.npz", features=X[[number]], labels=[0])
    maps = []
    read = module.np.concatenate
    monkeypatch.setattr(
        module.np, "concatenate", lambda parts: maps.extend(parts) or read(parts)
    )
    data = FeatureSet.load(tmp_path)
    np.testing.assert_array_equal(data.features, X[:4])
    assert not any(isinstance(part.base, np.memmap) for part in maps)
