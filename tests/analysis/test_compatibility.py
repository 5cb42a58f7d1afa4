import math

import numpy as np
import pytest
import torch

from headtail.analysis import compatibility
from headtail.analysis.compatibility import prototype_weight_match


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def reference(prototypes, weight):
    """Return nearest positions and the mean sorted cosines, number by number."""
    rows = [[cosine(p, w) for w in weight] for p in prototypes]
    nearest = [row.index(max(row)) for row in rows]
    ordered = [sorted(row, reverse=True) for row in rows]
    return nearest, [sum(c) / len(c) for c in zip(*ordered, strict=True)], rows


def problem(seed=0, n_classes=9, n_features=4):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(n_classes, n_features))
    return weight + 0.8 * rng.normal(size=weight.shape), 3 * weight


def test_matches_cosines_one_by_one():
    prototypes, weight = problem()
    match = prototype_weight_match(prototypes, weight)
    nearest, curve, rows = reference(prototypes.tolist(), weight.tolist())
    assert match.nearest.tolist() == nearest
    assert match.mismatched.tolist() == [i != j for i, j in enumerate(nearest)]
    assert match.n_mismatched == sum(match.mismatched)
    assert 0 < match.n_mismatched < 9  # both occur
    assert match.compared.all()
    assert match.n_compared == 9
    np.testing.assert_allclose(match.sharpness, curve)
    np.testing.assert_allclose(match.own_similarity, np.diag(rows))


def test_prototypes_ask_and_weights_are_asked():
    prototypes, weight = problem()
    forth = prototype_weight_match(prototypes, weight)
    back = prototype_weight_match(weight, prototypes)
    assert forth.nearest.tolist() != back.nearest.tolist()


def test_weights_are_nearest_to_themselves():
    _, weight = problem(n_classes=50)
    match = prototype_weight_match(weight, 7 * weight)
    assert match.n_mismatched == 0
    assert match.sharpness[0] == pytest.approx(1)
    assert (np.diff(match.sharpness) <= 0).all()


def test_lengths_do_not_matter():
    prototypes, weight = problem()
    scales = np.random.default_rng(1).uniform(1e-3, 1e3, size=(2, 9, 1))
    one = prototype_weight_match(prototypes, weight)
    other = prototype_weight_match(scales[0] * prototypes, scales[1] * weight)
    assert one.nearest.tolist() == other.nearest.tolist()
    np.testing.assert_allclose(one.sharpness, other.sharpness)


def test_a_tie_is_no_mismatch():
    weight = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 0.0]])
    match = prototype_weight_match(weight, weight)
    assert match.nearest.tolist() == [0, 1, 2]


@pytest.mark.parametrize("absent", [np.nan, 0.0])
def test_a_class_without_prototype_asks_nothing_but_is_asked(absent):
    prototypes, weight = problem()
    prototypes[3] = weight[5]  # its nearest is 5, which has no prototype itself
    prototypes[5] = absent
    match = prototype_weight_match(prototypes, weight)
    assert match.compared.tolist() == [i != 5 for i in range(9)]
    assert match.nearest[[3, 5]].tolist() == [5, -1]
    assert match.mismatched[[3, 5]].tolist() == [True, False]
    assert np.isnan(match.own_similarity).tolist() == [i == 5 for i in range(9)]
    kept = np.delete(prototypes, 5, axis=0)
    _, curve, _ = reference(kept.tolist(), weight.tolist())
    np.testing.assert_allclose(match.sharpness, curve)
    assert match.n_compared == 8


def test_a_class_without_weight_is_neither_compared_nor_nearest():
    prototypes, weight = problem()
    weight[0] = 0
    match = prototype_weight_match(prototypes, weight)
    nearest, curve, rows = reference(prototypes[1:].tolist(), weight[1:].tolist())
    np.testing.assert_allclose(match.own_similarity, [np.nan, *np.diag(rows)])
    assert match.nearest.tolist() == [-1, *(1 + i for i in nearest)]
    np.testing.assert_allclose(match.sharpness[:8], curve)
    assert np.isnan(match.sharpness[8])
    assert match.n_compared == 8


def test_nothing_to_compare_is_nan():
    match = prototype_weight_match(np.full((2, 3), np.nan), np.ones((2, 3)))
    assert match.n_compared == match.n_mismatched == 0
    assert np.isnan(match.sharpness).all()
    match = prototype_weight_match(np.ones((2, 3)), np.zeros((2, 3)))
    assert match.n_compared == 0


def test_one_class_has_nowhere_else_to_go():
    match = prototype_weight_match(np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]]))
    assert match.n_mismatched == 0
    assert match.sharpness.tolist() == [-1]


def test_blocks_of_rows_give_what_one_block_gives(monkeypatch):
    prototypes, weight = problem()
    prototypes[2] = np.nan
    once = prototype_weight_match(prototypes, weight)

    def two_rows(n_rows, row_size):
        return (slice(i, min(i + 2, n_rows)) for i in range(0, n_rows, 2))

    monkeypatch.setattr(compatibility, "row_blocks", two_rows)
    again = prototype_weight_match(prototypes, weight)
    np.testing.assert_array_equal(once.nearest, again.nearest)
    np.testing.assert_allclose(once.sharpness, again.sharpness)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_tensors_and_read_only_arrays_are_taken(dtype):
    prototypes, weight = problem()
    expected = prototype_weight_match(prototypes, weight)
    prototypes.flags.writeable = False
    weight = torch.nn.Parameter(torch.from_numpy(weight).to(dtype))
    match = prototype_weight_match(prototypes, weight)
    np.testing.assert_allclose(match.sharpness, expected.sharpness, atol=2e-3)
    assert match.nearest.dtype == np.int64


@pytest.mark.parametrize(
    ("dtype", "apart"),
    [(torch.float16, 1e-2), (torch.float32, 1e-3), (torch.float64, 1e-6)],
)
def test_near_weights_are_told_apart(dtype, apart):
    weight = torch.tensor([[1.0, apart], [1.0, -apart]], dtype=torch.float64)
    match = prototype_weight_match(weight.flip(0).to(dtype), weight.to(dtype))
    assert match.nearest.tolist() == [1, 0]


def test_what_does_not_fit_is_refused():
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"same shape .*; got \[3, 2\] and \[3, 1\]"):
        prototype_weight_match(ones, ones[:, 1:])
    with pytest.raises(ValueError, match=r"same shape .*; got \[2, 2\] and \[3, 2\]"):
        prototype_weight_match(ones[1:], ones)
    with pytest.raises(TypeError, match=r"weight must be floating.*; got torch.int64"):
        prototype_weight_match(ones, ones.astype(int))
    half = np.array([[1.0, 2.0], [np.nan, 1.0], [np.inf, 0.0]])
    with pytest.raises(ValueError, match=r"prototypes .* or all NaN; rows \[1, 2\]"):
        prototype_weight_match(half, ones)
    with pytest.raises(ValueError, match=r"weight must be finite; rows \[0, 1, 2\]"):
        prototype_weight_match(ones, ones * np.nan)
