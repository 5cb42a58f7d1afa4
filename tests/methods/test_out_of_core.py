"""Every method fits from shards what it fits from memory; the training-free equally."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    LinearHead,
)
from headtail.methods._base_head import shared_bases
from headtail.registry import METHODS
from headtail.samplers import draw_epochs, in_windows
from headtail.shards import ShardedArray
from headtail.statistics import ClassStatistics
from headtail.tensors import ShardedRows
from headtail.transforms import WithinClassWhitening

rng = np.random.default_rng(0)
COUNTS = [120, 40, 12, 4]
Y = rng.permutation(np.repeat(np.arange(4), COUNTS))
CENTERS = rng.normal(size=(4, 6))
X = (CENTERS[Y] + 0.4 * rng.normal(size=(len(Y), 6))).astype(np.float32)
X_TEST = (CENTERS.repeat(20, axis=0) + 0.4 * rng.normal(size=(80, 6))).astype("f4")
HEAD = LinearHead(torch.from_numpy(CENTERS).float(), torch.zeros(4))
TRAINING_FREE = {
    "ncm": {},
    "tau-norm": {"tau": 0.7, "base": HEAD},
    "logit-adjustment": {"tau": 1.0, "base": HEAD},
    "compositional": {"base": CosineHead(HEAD.weight.detach()), "donors": (20, 100)},
}


def sharded(x=X, n_shards=5):
    parts = np.array_split(x, n_shards)
    openers = [lambda part=part: part for part in parts]
    return ShardedArray(openers, list(map(len, parts)), x.shape[1], x.dtype)


@pytest.fixture
def never_whole(monkeypatch):
    """Let no more than a part of the rows be read at once."""
    read = ShardedArray.__getitem__

    def some(self, rows):
        result = read(self, rows)
        assert isinstance(result, ShardedArray) or len(result) < len(self)
        return result

    def whole(*_):
        raise AssertionError("all rows were read")

    monkeypatch.setattr(ShardedArray, "__getitem__", some)
    monkeypatch.setattr(ShardedArray, "__array__", whole)
    monkeypatch.setattr(ShardedRows, "__torch_dispatch__", whole)


def built(name, **parameters):
    row = next(row for row in METHODS if row.name == name)
    estimator = row.build().set_params(**parameters)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    return estimator


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "centered"])
def test_nearest_class_means(metric):
    whole = built("ncm", metric=metric).fit(X, Y)
    parts = built("ncm", metric=metric).fit(sharded(), Y)
    for one, other in zip(
        whole.head_.parameters(), parts.head_.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        parts.predict_proba(sharded(X_TEST)), whole.predict_proba(X_TEST), atol=1e-6
    )


@pytest.mark.parametrize("name", TRAINING_FREE)
def test_training_free_methods(name):
    whole = built(name, **TRAINING_FREE[name]).fit(X, Y)
    parts = built(name, **TRAINING_FREE[name]).fit(sharded(), Y)
    np.testing.assert_allclose(
        parts.predict_proba(X_TEST), whole.predict_proba(X_TEST), atol=1e-6
    )
    np.testing.assert_array_equal(parts.class_counts_, COUNTS)


@pytest.mark.usefixtures("never_whole")
@pytest.mark.parametrize("name", TRAINING_FREE)
def test_training_free_methods_never_hold_all_rows(name, monkeypatch):
    for module in ("_door", "_estimator", "decoupled.ncm"):
        monkeypatch.setattr(
            f"headtail.methods.{module}.row_blocks", lambda n, _, __=0: blocks_of(n)
        )
    estimator = built(name, **TRAINING_FREE[name]).fit(sharded(), Y)
    assert estimator.score(sharded(), Y) > 0.6


def blocks_of(n_rows):
    return [slice(start, start + 30) for start in range(0, n_rows, 30)]


@pytest.mark.filterwarnings("ignore:n_neighbors is 5")
@pytest.mark.parametrize("name", [row.name for row in METHODS])
def test_every_method_learns_from_shards(name, short_trainings):
    estimator = built(name)
    for wanted, value in {"epochs": 8, "tau": 1.0, "batch_size": 16}.items():
        if wanted in estimator.get_params():
            estimator.set_params(**{wanted: value})
    truth = np.arange(4).repeat(20)
    whole = (clone(estimator).fit(X, Y).predict(X_TEST) == truth).mean()
    parts = (estimator.fit(sharded(), Y).predict(X_TEST) == truth).mean()
    assert parts > min(whole, 0.95) - 0.15


@pytest.mark.usefixtures("never_whole")
@pytest.mark.parametrize("name", ["linear", "cosine", "crt", "lws", "disalign"])
def test_trained_heads_never_hold_all_rows(name, monkeypatch):
    for module in ("_door", "_training", "base.cosine"):
        monkeypatch.setattr(
            f"headtail.methods.{module}.row_blocks", lambda n, *_: blocks_of(n)
        )
    base = {"base": HEAD} if name in ("lws", "disalign") else {}
    estimator = built(name, epochs=8, batch_size=16, **base)
    estimator.fit(sharded(), Y)
    assert (estimator.predict(X_TEST) == np.arange(4).repeat(20)).mean() > 0.6


def test_choosing_on_held_out_rows():
    whole = built("logit-adjustment", tau="auto").fit(X, Y)
    parts = built("logit-adjustment", tau="auto").fit(sharded(), Y)
    assert parts.selection_.n_samples == whole.selection_.n_samples
    assert parts.selection_.candidates == whole.selection_.candidates


def test_adding_examples():
    whole = built("ncm").fit(X, Y).partial_fit(X_TEST, np.arange(4).repeat(20) + 2)
    parts = built("ncm").fit(X, Y)
    parts.partial_fit(sharded(X_TEST), np.arange(4).repeat(20) + 2)
    torch.testing.assert_close(parts.head_.weight, whole.head_.weight)


def test_the_width_of_shards_is_checked():
    classifier = built("ncm").fit(sharded(), Y)
    with pytest.raises(ValueError, match=r"X has 3 features, but .* expecting 6"):
        classifier.predict(sharded(X_TEST[:, :3].copy()))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        built("ncm").fit(sharded(), Y[1:])


def test_statistics_of_shards():
    whole = ClassStatistics(4, 6).update(X, Y)
    parts = ClassStatistics(4, 6).update(sharded(), Y)
    torch.testing.assert_close(parts.sums, whole.sums, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parts.unit_sums, whole.unit_sums, rtol=1e-6, atol=1e-6)
    assert torch.equal(parts.class_counts, whole.class_counts)


def test_statistics_name_the_rows_of_the_whole():
    x = X.copy()
    x[[3, 150]] = np.nan
    with pytest.raises(ValueError, match=r"2 rows .*\(rows \[3, 150\]\)"):
        ClassStatistics(4, 6).update(sharded(x), Y)


def test_whitening():
    whole = WithinClassWhitening().fit(X, Y)
    parts = WithinClassWhitening().fit(sharded(), Y)
    np.testing.assert_allclose(
        parts.transform(sharded(X_TEST)), whole.transform(X_TEST), rtol=1e-4, atol=1e-4
    )


@pytest.mark.usefixtures("never_whole")
def test_a_base_is_shared_without_reading_all_rows(monkeypatch):
    for module in ("_door", "base.cosine"):
        monkeypatch.setattr(
            f"headtail.methods.{module}.row_blocks", lambda n, *_: blocks_of(n)
        )
    base = CosineClassifier(epochs=2, batch_size=16, random_state=0)
    with shared_bases():
        one, other = (
            CompositionalClassifier(base, donors=donors).fit(sharded(), Y)
            for donors in (20, 100)
        )
        assert one.base_head_.weight.equal(other.base_head_.weight)


@pytest.mark.parametrize("sampling", ["instance", "sqrt", "class", "over"])
def test_windows_show_the_same_draws(sampling):
    labels = torch.from_numpy(Y)
    generator = torch.Generator().manual_seed(0)
    (draws,) = draw_epochs(labels, sampling, 1, generator)
    first_rows = torch.tensor([0, 40, 80, 120, 160])
    order = in_windows(draws, first_rows, 2, generator)
    assert not torch.equal(order, draws)
    assert torch.equal(order.sort().values, draws.sort().values)
    shards = torch.searchsorted(first_rows, order, right=True) - 1
    # Windows of 2, 2 and 1 shards: the shards change between windows alone.
    seen, windows = [], []
    for shard in shards.tolist():
        if not windows or (shard not in windows[-1] and len(windows[-1]) == 2):
            windows.append(set())
        windows[-1].add(shard)
        seen.append(len(windows))
    assert [len(window) for window in windows] == [2, 2, 1]
    assert set().union(*windows) == set(range(5))


def test_windows_are_shuffled():
    draws, first_rows = torch.arange(4000), torch.arange(0, 4000, 100)
    generator = torch.Generator().manual_seed(0)
    order = in_windows(draws, first_rows, 4, generator)
    again = in_windows(draws, first_rows, 4, generator)
    assert not torch.equal(order, again)
    # Within a window of 400, neighbours come from everywhere in it.
    assert (order[:400].diff() == 1).float().mean() < 0.05
    first = torch.searchsorted(first_rows, order[:400], right=True).unique()
    assert len(first) == 4
    assert (first.diff() > 1).any()  # shards that did not lie next to each other
