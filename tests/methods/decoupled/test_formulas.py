"""The formulas of τ-normalisation and logit adjustment, against slow ways."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail import adjust_logits, tau_normalize
from headtail.methods.decoupled import _formulas
from headtail.methods.decoupled._formulas import check_prior, log_prior, predict_affine

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**31)
COUNTS = st.lists(st.integers(1, 2000), min_size=1, max_size=6)
TAUS = st.sampled_from([0.0, 0.3, 1.0, 2.5])


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@given(SIZES, SIZES, TAUS, SEEDS)
def test_every_row_is_divided_by_a_power_of_its_length(n_classes, n_features, tau, s):
    weight = normal(n_classes, n_features, seed=s)
    got = tau_normalize(weight, tau=tau)
    for row, ours in zip(weight.tolist(), got.tolist(), strict=True):
        length = math.sqrt(sum(a * a for a in row))
        assert ours == pytest.approx([a / length**tau for a in row], rel=1e-9)


def test_tau_zero_is_the_weight_and_tau_one_has_unit_rows():
    weight = normal(4, 3)
    assert tau_normalize(weight, tau=0.0).equal(weight)
    lengths = tau_normalize(weight, tau=1.0).square().sum(dim=1)
    torch.testing.assert_close(lengths, torch.ones(4, dtype=torch.float64))
    assert tau_normalize(weight).equal(tau_normalize(weight, tau=1.0))


@pytest.mark.parametrize("tau", [0.0, 0.5, 2.0])
def test_a_row_of_zeros_stays_zero(tau):
    weight = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert tau_normalize(weight, tau=tau)[0].tolist() == [0.0, 0.0]


def test_the_dtype_stays_and_the_weight_too():
    weight = normal(2, 3).to(torch.float16)
    before = weight.clone()
    assert tau_normalize(weight, tau=0.5).dtype == torch.float16
    assert weight.equal(before)


@given(COUNTS)
def test_the_prior_is_the_share_of_the_examples(counts):
    expected = [math.log(n / sum(counts)) for n in counts]
    got = log_prior(torch.tensor(counts))
    assert got.dtype == torch.float64
    assert got.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_class_without_examples_has_no_prior():
    with pytest.raises(
        ValueError, match=r"at least 1 for every class; classes \[1, 3\] have no tr"
    ):
        log_prior(torch.tensor([3, 0, 2, 0]))
    with pytest.raises(ValueError, match=r"classes \[0\] have no training sample"):
        adjust_logits(torch.zeros(1, 2), torch.tensor([0, 5]), tau=0.0)


@given(COUNTS, TAUS, st.booleans(), SEEDS)
def test_adjusting_is_reweighting_of_probabilities(counts, tau, with_target, seed):
    n_classes = len(counts)
    logits = normal(3, n_classes, seed=seed)
    target = normal(n_classes, seed=seed + 1).softmax(dim=0) if with_target else None
    adjusted = adjust_logits(
        logits, torch.tensor(counts), tau=tau, target_prior=target
    ).softmax(dim=1)
    for z, ours in zip(logits.tolist(), adjusted.tolist(), strict=True):
        wanted = [1.0] * n_classes if target is None else target.tolist()
        odds = [
            math.exp(a) * b / (n / sum(counts)) ** tau
            for a, b, n in zip(z, wanted, counts, strict=True)
        ]
        assert ours == pytest.approx([o / sum(odds) for o in odds], rel=1e-9)


def test_the_logits_change_by_the_log_prior_itself():
    logits = torch.zeros(1, 2)
    shifted = adjust_logits(logits, torch.tensor([75, 25]), tau=2.0)
    assert shifted[0].tolist() == pytest.approx([-2 * math.log(0.75), 2 * math.log(4)])
    assert logits.tolist() == [[0.0, 0.0]]


def test_tau_zero_and_the_training_prior_as_target_change_nothing():
    logits, counts = normal(5, 3), torch.tensor([70, 20, 10])
    assert adjust_logits(logits, counts, tau=0.0).equal(logits)
    same = adjust_logits(logits, counts, target_prior=counts / counts.sum())
    torch.testing.assert_close(same, logits, atol=1e-6, rtol=0)


def test_more_tau_never_favours_the_head():
    logits, counts = normal(6, 3), torch.tensor([70, 20, 10])
    shares = torch.stack(
        [
            adjust_logits(logits, counts, tau=tau).softmax(dim=1)
            for tau in (0.0, 0.5, 1.0, 2.0)
        ]
    )
    assert (shares[1:, :, 0] < shares[:-1, :, 0]).all()
    assert (shares[1:, :, 2] > shares[:-1, :, 2]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_adjusting_keeps_the_dtype(dtype):
    logits = torch.zeros(2, 2, dtype=dtype)
    target = torch.tensor([0.5, 0.5])
    adjusted = adjust_logits(logits, torch.tensor([3, 1]), target_prior=target)
    assert adjusted.dtype == dtype


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ([0.5, 0.4], r"sum to 1; got a sum of 0\.9, the smallest share is 0\.4"),
        ([0.5, 0.501], r"got a sum of 1\.001"),
        ([1.5, -0.5], r"positive .*a sum of 1, the smallest share is -0\.5"),
        ([1.0, 0.0], "the smallest share is 0"),
        ([math.nan, 1.0], "got a sum of nan"),
        ([math.inf, 1.0], "got a sum of inf"),
    ],
)
def test_a_target_that_is_no_prior_is_refused(prior, message):
    with pytest.raises(ValueError, match=f"target_prior must be .*{message}"):
        check_prior(torch.tensor(prior))
    with pytest.raises(ValueError, match=f"target_prior must be .*{message}"):
        adjust_logits(
            torch.zeros(1, 2), torch.tensor([1, 1]), target_prior=torch.tensor(prior)
        )


def test_a_prior_in_single_precision_is_taken():
    prior = torch.full((7000,), 1 / 7000)
    assert check_prior(prior).dtype == torch.float64


def test_a_target_of_another_length_is_refused(monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"one share per class \(3\); got shape \[2\]"):
        adjust_logits(
            torch.zeros(1, 3), torch.ones(3).long(), target_prior=torch.ones(2) / 2
        )


def separately(z, scales, biases):
    """Each candidate and sample alone; the first of the largest wins."""
    n_candidates = len(scales if scales is not None else biases)
    predicted = []
    for i in range(n_candidates):
        row = []
        for sample in z.tolist():
            values = [
                (1.0 if scales is None else scales[i, c].item()) * a
                + (0.0 if biases is None else biases[i, c].item())
                for c, a in enumerate(sample)
            ]
            row.append(max(range(len(values)), key=values.__getitem__))
        predicted.append(row)
    return predicted


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("given", ["scales", "biases", "both"])
@pytest.mark.parametrize("block", [None, 1, 7, 25])
def test_all_candidates_at_once_are_each_on_its_own(dtype, given, block, monkeypatch):
    # Integers: ties are common and arithmetic is exact.
    generator = torch.Generator().manual_seed(0)
    features, scales, biases = (
        torch.randint(-2, 3, shape, generator=generator).to(dtype)
        for shape in ((23, 4), (6, 5), (6, 5))
    )
    weight = torch.randint(-1, 2, (5, 4), generator=generator).to(dtype)
    scales = None if given == "biases" else scales
    biases = None if given == "scales" else biases
    if block is not None:
        rows = _formulas.row_blocks
        monkeypatch.setattr(_formulas, "_LOGITS_AT_ONCE", block)
        monkeypatch.setattr(
            _formulas,
            "row_blocks",
            lambda n, size, budget=3 * block: rows(n, size, budget),
        )
    z = features @ weight.T
    before = z.clone()
    got = predict_affine(lambda x: x @ weight.T, features, scales=scales, biases=biases)
    assert got.dtype == torch.int64
    assert got.tolist() == separately(z, scales, biases)
    stored = predict_affine(
        lambda x: z[: len(x)], features, scales=scales, biases=biases
    )
    assert z.equal(before)
    assert stored.shape == (6, 23)


def test_the_logits_are_computed_once_however_many_candidates():
    calls = []

    def logits(block):
        calls.append(len(block))
        return block

    predict_affine(logits, torch.eye(5), biases=torch.zeros(30, 5))
    assert calls == [5]
