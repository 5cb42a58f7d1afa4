import math

import numpy as np
import pytest
import torch

from headtail import CompositionalClassifier
from headtail.analysis import attended as module
from headtail.analysis.attended import attended_similarity
from headtail.analysis.taxonomy import Taxonomy

PATHS = [("all", str(i % 3), str(i)) for i in range(9)]
TAXONOMY = Taxonomy.from_paths(PATHS)


def likeness(i, j):
    return -math.log((1 if i == j else 3 if i % 3 == j % 3 else 5) / 6)


def random_shares(seed=0):
    shares = np.random.default_rng(seed).random((9, 9))
    return shares / shares.sum(axis=1, keepdims=True)


def test_matches_a_loop_over_classes():
    shares = random_shares()
    result = attended_similarity(shares, TAXONOMY, n=4)
    by_rank = [[], [], [], []]
    for i, row in enumerate(shares.tolist()):
        best = sorted(range(9), key=row.__getitem__, reverse=True)[:4]
        assert result.attended[i].tolist() == best
        assert result.is_self[i].tolist() == [j == i for j in best]
        assert result.similarity[i] == pytest.approx([likeness(i, j) for j in best])
        others = [likeness(i, j) for j in range(9) if j != i]
        assert result.chance[i] == pytest.approx(sum(others) / 8)
        for rank, j in enumerate(best):
            if j != i:
                by_rank[rank].append(likeness(i, j))
    assert result.is_self.any()
    assert result.n_similarity.tolist() == [len(values) for values in by_rank]
    means = [sum(values) / len(values) for values in by_rank]
    assert result.mean_similarity == pytest.approx(means)
    assert result.mean_chance == pytest.approx(result.chance.mean())


def test_positions_give_what_their_shares_give():
    shares = random_shares()
    one = attended_similarity(shares, TAXONOMY, n=5)
    order = torch.from_numpy(shares).argsort(dim=1, descending=True)
    other = attended_similarity(order, TAXONOMY, n=5)
    np.testing.assert_array_equal(one.similarity, other.similarity)
    assert one.mean_similarity.tolist() == other.mean_similarity.tolist()


def test_all_classes_by_any_shares_are_as_similar_as_chance():
    result = attended_similarity(random_shares(), TAXONOMY, n=9)
    assert result.similarity.shape == (9, 9)
    total = (result.mean_similarity * result.n_similarity).sum()
    assert total / result.n_similarity.sum() == pytest.approx(result.mean_chance)


def test_attention_to_relatives_is_above_chance():
    shares = np.array([[i % 3 == j % 3 for j in range(9)] for i in range(9)]) / 3
    result = attended_similarity(shares, TAXONOMY, n=3)
    assert np.isin(result.similarity.round(6), np.log([6, 2]).round(6)).all()
    assert (result.mean_similarity > result.mean_chance).all()


def test_who_receives_stands_in_the_rows():
    shares = np.zeros((9, 9))
    shares[:, 4] = 1  # everyone asks the fifth
    result = attended_similarity(shares, TAXONOMY, n=1)
    assert result.attended.ravel().tolist() == [4] * 9
    assert result.n_similarity.tolist() == [8]


def test_a_share_of_zero_is_nobodys_and_equal_shares_keep_the_order():
    shares = np.zeros((9, 9))
    shares[0, [7, 2, 5]] = 0.25, 0.5, 0.25
    result = attended_similarity(shares, TAXONOMY, n=4)
    assert result.attended[0].tolist() == [2, 5, 7, -1]
    assert np.isnan(result.similarity[0]).tolist() == [False] * 3 + [True]
    assert (result.attended[1:] == -1).all()
    assert np.isnan(result.mean_similarity[3])
    assert result.n_similarity.tolist() == [1, 1, 1, 0]


def test_many_equal_shares_keep_the_order_too():
    taxonomy = Taxonomy.from_paths([(i,) for i in range(100)])
    shares = np.tile(np.arange(100) % 2, (100, 1)) / 50
    result = attended_similarity(shares, taxonomy, n=50)
    assert (result.attended == np.arange(1, 100, 2)).all()


def test_more_ranks_than_classes_are_as_many_as_there_are():
    assert attended_similarity(random_shares(), TAXONOMY).attended.shape == (9, 9)
    listed = np.array([[1, 2]] * 9)
    assert attended_similarity(listed, TAXONOMY).attended.shape == (9, 2)


def test_one_class_has_no_chance():
    alone = Taxonomy.from_paths([("x",)])
    result = attended_similarity(np.ones((1, 1)), alone)
    assert result.is_self.tolist() == [[True]]
    assert np.isnan(result.mean_similarity).tolist() == [True]
    assert math.isnan(result.mean_chance)


def test_shares_of_a_classifier_are_taken():
    X = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    y = np.arange(60) % 9
    base = torch.nn.Linear(5, 9, bias=False)
    torch.nn.init.normal_(base.weight, generator=torch.Generator().manual_seed(1))
    clf = CompositionalClassifier(base, donors=0).fit(X, y)
    result = attended_similarity(clf.attention_[0], TAXONOMY, n=3)
    top = clf.top_donors(3)[0].classes
    np.testing.assert_array_equal(result.attended, top)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_read_only_arrays_and_half_precision_are_taken(dtype):
    shares = random_shares()
    shares.flags.writeable = False
    one = attended_similarity(shares, TAXONOMY, n=1)
    other = attended_similarity(torch.tensor(shares, dtype=dtype), TAXONOMY, n=1)
    np.testing.assert_array_equal(one.attended, other.attended)


def test_blocks_of_rows_give_what_one_block_gives(monkeypatch):
    once = attended_similarity(random_shares(), TAXONOMY, n=3)

    def two_rows(n_rows, row_size):
        return (slice(i, min(i + 2, n_rows)) for i in range(0, n_rows, 2))

    monkeypatch.setattr(module, "row_blocks", two_rows)
    again = attended_similarity(random_shares(), TAXONOMY, n=3)
    np.testing.assert_array_equal(once.attended, again.attended)
    np.testing.assert_array_equal(once.chance, again.chance)


@pytest.mark.parametrize(
    ("attended", "n", "error", "match"),
    [
        (np.ones((8, 8)), 10, ValueError, r"each of the 9 classes.*\[8, 8\]"),
        (np.ones(9), 10, ValueError, r"each of the 9 classes.*\[9\]"),
        (np.ones((9, 4)), 10, ValueError, r"must be a square.*\[9, 4\]"),
        (-np.ones((9, 9)), 10, ValueError, r"at least 0; got -1.0 in rows 0 … 8"),
        (np.full((9, 9), np.nan), 10, ValueError, r"at least 0; got nan"),
        (np.full((9, 2), 9), 10, ValueError, r"in -1 … 8; got \[9\]"),
        (np.full((9, 2), -2), 10, ValueError, r"in -1 … 8; got \[-2\]"),
        (np.full((9, 2), "a"), 10, TypeError, r"shares .* or positions .*; got <U1"),
        (np.ones((9, 9)), 0, ValueError, r"n must be at least 1; got 0"),
    ],
)
def test_what_does_not_fit_is_refused(attended, n, error, match):
    with pytest.raises(error, match=match):
        attended_similarity(attended, TAXONOMY, n=n)


def test_a_taxonomy_is_not_a_list_of_paths():
    with pytest.raises(TypeError, match=r"taxonomy must be a Taxonomy; got list"):
        attended_similarity(random_shares(), PATHS)
