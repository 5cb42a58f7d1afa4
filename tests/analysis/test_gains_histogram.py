from itertools import pairwise

import numpy as np
import pytest
import torch

from headtail.analysis.gains_histogram import gains_histogram


def reference(gains, members, edges):
    """Count by comparing every gain with every pair of edges, in whole thousandths."""
    thousandths = [round(1000 * gains[i]) for i in members if not np.isnan(gains[i])]
    ends = [round(1000 * edge) for edge in edges]
    return [
        sum(
            low < gain <= high if gain < 0 else low <= gain < high
            for gain in thousandths
        )
        for low, high in pairwise(ends)
    ]


def test_counts_by_group_and_leaves_out_what_is_not_known():
    rng = np.random.default_rng(0)
    # Multiples of 1/20: every gain lies on an edge.
    gains = rng.integers(-8, 13, size=60) / 20
    gains[::7] = np.nan
    counts = rng.choice([1, 19, 20, 100, 101, 500], size=60)
    result = gains_histogram(gains, counts)
    members = {
        "many": np.flatnonzero(counts > 100),
        "medium": np.flatnonzero((counts >= 20) & (counts <= 100)),
        "few": np.flatnonzero(counts < 20),
        "all": np.arange(60),
    }
    assert result.groups == tuple(members)
    for row, rows in enumerate(members.values()):
        changed = rows[gains[rows] != 0]
        expected = reference(gains, changed, result.edges)
        assert result.n_classes[row].tolist() == expected
        assert result.n_unchanged[row] == (gains[rows] == 0).sum()
        assert result.n_undefined[row] == np.isnan(gains[rows]).sum() > 0
    assert result.n_unchanged[-1] > 0
    total = result.n_classes.sum(axis=1) + result.n_unchanged + result.n_undefined
    assert total.tolist() == [len(rows) for rows in members.values()]


@pytest.mark.parametrize("n", [3, 7, 20, 50])
def test_differences_of_fractions_fall_into_the_bin_that_begins_there(n):
    gains = [(a + 1) / n - a / n for a in range(n - 1)]  # all are 1/n, but for rounding
    result = gains_histogram(gains, np.full(n - 1, 5), bin_width=1 / n)
    assert result.edges == pytest.approx([1 / n, 2 / n])
    assert result.n_classes[2].tolist() == [n - 1]


def test_edges_are_multiples_of_the_width_and_cover_all():
    result = gains_histogram([-0.12, 0.31], [500, 5], bin_width=0.1)
    np.testing.assert_allclose(result.edges, [-0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4])
    assert result.n_classes[0].tolist() == [1, 0, 0, 0, 0, 0]
    assert result.n_classes[2].tolist() == [0, 0, 0, 0, 0, 1]
    assert not result.n_classes[1].any()


def test_the_largest_gain_and_loss_have_bins_too():
    result = gains_histogram([-1, 1], [5, 5], bin_width=0.5)
    np.testing.assert_allclose(result.edges, [-1.5, -1, -0.5, 0, 0.5, 1, 1.5])
    assert result.n_classes[3].tolist() == [1, 0, 0, 0, 0, 1]


def test_losses_mirror_gains():
    gains = np.array([0.05, 0.1, 0.12, 0.2, 0.0])
    up, down = gains_histogram(gains, [5] * 5), gains_histogram(-gains, [5] * 5)
    bars = {round(e, 2): n for e, n in zip(up.edges, up.n_classes[3], strict=False)}
    mirrored = {
        round(-e, 2): n for e, n in zip(down.edges[1:], down.n_classes[3], strict=True)
    }
    assert {e: n for e, n in bars.items() if n} == {
        e: n for e, n in mirrored.items() if n
    }


def test_without_a_known_gain_one_bin_is_empty():
    for gains, n in ([np.nan, np.nan], 2), ([], 0):
        result = gains_histogram(gains, np.full(n, 5))
        assert result.edges.tolist() == [0, 0.05]
        assert result.n_classes.tolist() == [[0]] * 4
        assert result.n_undefined.tolist() == [0, 0, n, n]


def test_the_convention_moves_the_end_points():
    result = gains_histogram([0.01, 0.01], [20, 100], convention="ckt")
    assert result.n_classes[:, 0].tolist() == [1, 0, 1, 2]


def test_rounding_alone_is_no_gain():
    result = gains_histogram([0.3 - (0.1 + 0.2), 0.1], [5, 5])
    assert result.n_unchanged.tolist() == [0, 0, 1, 1]
    assert result.n_classes.sum(axis=1).tolist() == [0, 0, 1, 1]


def test_tensors_and_read_only_arrays_are_taken():
    gains = np.array([0.1, 0.2])
    gains.flags.writeable = False
    one = gains_histogram(gains, [5, 5])
    other = gains_histogram(torch.from_numpy(gains.copy()), torch.tensor([5, 5]))
    assert one.n_classes.tolist() == other.n_classes.tolist()


@pytest.mark.parametrize(
    ("gains", "kwargs", "match"),
    [
        ([0.1], {}, r"gains must be 2 numbers.*shape \[1\]"),
        (["a", "b"], {}, r"gains must be 2 numbers.*got <U1"),
        ([0.1, 12.5], {}, r"-1 to 1 or NaN; got \[12\.5\]\. Divide"),
        ([0.1, -12.5], {}, r"-1 to 1 or NaN; got \[-12\.5\]"),
        ([0.1, np.inf], {}, r"-1 to 1 or NaN; got \[inf\]"),
        ([0.1, 0.2], {"bin_width": 0.0}, r"bin_width must be 0.001 to 1; got 0\.0"),
        ([0.1, 0.2], {"bin_width": 5}, r"bin_width must be 0.001 to 1; got 5"),
    ],
)
def test_what_does_not_fit_is_refused(gains, kwargs, match):
    with pytest.raises(ValueError, match=match):
        gains_histogram(gains, [5, 50], **kwargs)
