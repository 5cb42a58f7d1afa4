import math

import pytest
import torch

from headtail.losses import CrossEntropyLoss, LDAMLoss

COUNTS = [1000, 40, 7, 1]
WEIGHT = [0.1, 0.5, 0.0, 3.0]


def batch(seed=0, n_samples=9, n_classes=4):
    generator = torch.Generator().manual_seed(seed)
    cosines = 2 * torch.rand(n_samples, n_classes, generator=generator).double() - 1
    return cosines, torch.randint(n_classes, (n_samples,), generator=generator)


def by_loops(cosines, labels, counts, max_margin, scale, weight):
    total = mass = 0.0
    largest = max(1 / math.sqrt(math.sqrt(n)) for n in counts)
    for row, y in zip(cosines.tolist(), labels.tolist(), strict=True):
        margin = max_margin / math.sqrt(math.sqrt(counts[y])) / largest
        true = math.exp(scale * (row[y] - margin))
        rest = [math.exp(scale * row[c]) for c in range(len(row)) if c != y]
        total -= weight[y] * math.log(true / (true + math.fsum(rest)))
        mass += weight[y]
    return torch.tensor(total / mass, dtype=torch.float64)


@pytest.mark.parametrize("counts", [COUNTS, [12, 900, 35, 60]])
@pytest.mark.parametrize(("max_margin", "scale"), [(0.5, 30.0), (0.2, 7.0), (0.0, 1.0)])
def test_value_matches_loops(counts, max_margin, scale):
    cosines, labels = batch()
    options = {"max_margin": max_margin, "scale": scale}
    got = LDAMLoss(counts, **options)(scale * cosines, labels)
    expected = by_loops(cosines, labels, counts, max_margin, scale, [1.0] * 4)
    torch.testing.assert_close(got, expected)
    got = LDAMLoss(counts, weight=WEIGHT, **options)(scale * cosines, labels)
    expected = by_loops(cosines, labels, counts, max_margin, scale, WEIGHT)
    torch.testing.assert_close(got, expected)


def test_defaults_are_those_of_the_paper():
    cosines, labels = batch()
    loss = LDAMLoss(COUNTS)
    assert (loss.max_margin, loss.scale) == (0.5, 30.0)
    expected = by_loops(cosines, labels, COUNTS, 0.5, 30.0, [1.0] * 4)
    torch.testing.assert_close(loss(30 * cosines, labels), expected)


def test_the_rarest_class_has_the_largest_margin():
    margins = LDAMLoss([16, 81, 625], max_margin=0.3).margins
    expected = torch.tensor([0.3, 0.2, 0.12], dtype=torch.float64)
    torch.testing.assert_close(margins, expected)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_margin_zero_is_cross_entropy_at_scale_30(weight):
    cosines, labels = batch()
    loss = LDAMLoss(COUNTS, max_margin=0.0, weight=weight)
    plain = CrossEntropyLoss(weight=weight)
    assert torch.equal(loss(30 * cosines, labels), plain(30 * cosines, labels))


def test_gradient():
    cosines, labels = batch()
    loss = LDAMLoss(COUNTS, scale=3.0, weight=WEIGHT)
    assert torch.autograd.gradcheck(loss, (cosines.requires_grad_(), labels))


def test_the_logits_given_stay_as_they_are():
    cosines, labels = batch()
    before = cosines.clone()
    LDAMLoss(COUNTS)(cosines, labels)
    assert torch.equal(cosines, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_margin": -0.1}, r"max_margin must be .* \[0, inf\); got -0\.1"),
        ({"scale": 0.0}, r"scale must be .* \(0, inf\); got 0\.0"),
        ({"scale": float("nan")}, r"scale must be .* \(0, inf\); got nan"),
        ({"weight": [1.0, 2.0]}, r"one per class \(4\); got shape \[2\]"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LDAMLoss(COUNTS, **options)


def test_bad_counts_and_width_are_refused():
    with pytest.raises(ValueError, match=r"classes \[1\] have no training sample"):
        LDAMLoss([1, 0])
    with pytest.raises(ValueError, match=r"one column per class \(2\); got 4"):
        LDAMLoss([1, 2])(*batch())
