import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headtail import (
    AffineHead,
    CosineHead,
    EnsembleHead,
    LinearClassifier,
    LinearHead,
)
from headtail.analysis.norms import weight_norms

WEIGHT = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0], [-6.0, 8.0]])


def ranks(values):
    """Return ranks from 1; equal values share their mean."""
    ordered = sorted(values)
    return [ordered.index(v) + (ordered.count(v) + 1) / 2 for v in values]


def spearman(a, b):
    a, b = np.array(ranks(a)), np.array(ranks(b))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def test_lengths_stand_beside_the_counts():
    counts = [50, 20, 20, 9]
    result = weight_norms(LinearHead(WEIGHT), class_counts=counts)
    assert result.norms.tolist() == [5, 2, 1, 10]
    assert result.class_counts.tolist() == counts
    assert result.classes.tolist() == [0, 1, 2, 3]
    assert result.rank_correlation == pytest.approx(spearman([5, 2, 1, 10], counts))
    assert result.rank_correlation != 0


@pytest.mark.parametrize(
    ("counts", "expected"), [([3, 2, 1, 4], 1), ([2, 3, 4, 1], -1)]
)
def test_the_correlation_is_of_ranks_alone(counts, expected):
    for power in 1, 5:
        grown = [n**power for n in counts]
        result = weight_norms(LinearHead(WEIGHT), class_counts=grown)
        assert result.rank_correlation == pytest.approx(expected)


def test_a_fitted_classifier_knows_classes_and_counts():
    rng = np.random.default_rng(0)
    y = np.repeat(["cat", "dog", "elk"], [40, 12, 3])
    X = np.repeat(np.eye(3), [40, 12, 3], axis=0) + rng.normal(size=(55, 3))
    clf = LinearClassifier(epochs=3, random_state=0).fit(X, y)
    result = weight_norms(clf)
    assert result.classes.tolist() == ["cat", "dog", "elk"]
    assert result.class_counts.tolist() == [40, 12, 3]
    rows = clf.head_.weight.tolist()
    np.testing.assert_allclose(result.norms, [math.hypot(*row) for row in rows])
    clf.head_.classes = None
    assert weight_norms(clf).classes.tolist() == ["cat", "dog", "elk"]
    other = weight_norms(clf, class_counts=[1, 2, 3])
    assert other.class_counts.tolist() == [1, 2, 3]


def test_a_head_keeps_its_labels():
    result = weight_norms(LinearHead(WEIGHT, classes=list("dcba")))
    assert result.classes.tolist() == list("dcba")
    assert result.class_counts is None
    assert math.isnan(result.rank_correlation)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_cosine_head_has_equal_lengths_and_no_correlation(dtype):
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    result = weight_norms(CosineHead(weight, 10.0), class_counts=range(1, 41))
    np.testing.assert_allclose(result.norms, 10, rtol=0.02)
    assert math.isnan(result.rank_correlation)


def test_factors_of_the_classes_are_folded_in():
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0])
    head = AffineHead(CosineHead(WEIGHT, 10.0), scale, torch.zeros(4))
    result = weight_norms(head, class_counts=[4, 3, 2, 1])
    np.testing.assert_allclose(result.norms, [10, 20, 30, 40], rtol=1e-6)
    assert result.rank_correlation == pytest.approx(-1)


def test_equal_counts_and_one_class_have_no_correlation():
    equal = weight_norms(LinearHead(WEIGHT), class_counts=[7, 7, 7, 7])
    one = weight_norms(LinearHead(WEIGHT[:1]), class_counts=torch.tensor([7]))
    assert math.isnan(equal.rank_correlation)
    assert math.isnan(one.rank_correlation)


def test_what_has_no_weight_per_class_is_refused():
    with pytest.raises(TypeError, match=r"one weight vector per class.*EnsembleHead"):
        weight_norms(EnsembleHead([LinearHead(WEIGHT), LinearHead(WEIGHT)]))
    with pytest.raises(TypeError, match=r"classifier must be .*; got Linear\. Put"):
        weight_norms(torch.nn.Linear(2, 3))
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(TypeError, match=r"in head_; LogisticRegression has none"):
        weight_norms(fitted)
    with pytest.raises(ValueError, match=r"LinearClassifier instance is not fitted"):
        weight_norms(LinearClassifier())


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        ([1, 2, 3], r"class_counts must be 4 integers.*shape \[3\]"),
        ([1.0, 2.0, 3.0, 4.0], r"class_counts must be 4 integers.*got float64"),
        ([3, 2, 1, -1], r"class_counts must be at least 0; got -1"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, match):
    with pytest.raises(ValueError, match=match):
        weight_norms(LinearHead(WEIGHT), class_counts=counts)
