import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from headtail.losses import CrossEntropyLoss, Loss, weighted_mean
from headtail.losses import negative_log_likelihood as nll
from headtail.losses.loss import floored_logsumexp

TINY = torch.finfo(torch.float32).tiny
FINITE = st.floats(-20, 20)


@st.composite
def batches(draw):
    n_classes = draw(st.integers(1, 5))
    row = st.lists(FINITE, min_size=n_classes, max_size=n_classes)
    rows = draw(st.lists(row, min_size=1, max_size=4))
    labels = [draw(st.integers(0, n_classes - 1)) for _ in rows]
    return rows, labels


@given(batches())
def test_nll_is_minus_the_log_of_the_probability(batch):
    rows, labels = batch
    expected = []
    for row, y in zip(rows, labels, strict=True):
        odds = math.fsum(math.exp(z - row[y]) for z in row)
        expected.append(math.log(odds))
    got = nll(torch.tensor(rows, dtype=torch.float64), torch.tensor(labels))
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@given(batches(), st.floats(-1000, 1000))
def test_a_constant_per_row_changes_no_nll(batch, constant):
    logits = torch.tensor(batch[0], dtype=torch.float64)
    labels = torch.tensor(batch[1])
    moved = logits + constant * torch.arange(1, len(logits) + 1)[:, None]
    torch.testing.assert_close(
        nll(moved, labels), nll(logits, labels), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nll_keeps_its_digits_for_huge_logits(dtype):
    logits = torch.tensor([[1e4, 1e4 - 1, -1e4], [1e4, 1e4 - 1, -1e4]], dtype=dtype)
    got = nll(logits, torch.tensor([0, 2]))
    assert got.dtype == dtype
    expected = [math.log1p(math.exp(-1)), 2e4 + math.log1p(math.exp(-1))]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=dtype))


def test_nll_is_never_negative():
    generator = torch.Generator().manual_seed(0)
    logits = 100 * torch.randn(2000, 3, generator=generator)
    assert (nll(logits, logits.argmax(dim=1)) >= 0).all()


def test_nll_has_the_gradient_of_its_value():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2])
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: nll(z, labels), logits)


def denormal(gradient):
    return (gradient != 0) & (gradient.abs() < TINY)


@pytest.mark.parametrize("label", [0, 60, 120])
def test_nll_gradients_are_those_of_cross_entropy_but_never_denormal(label):
    logits = -torch.arange(121.0)[None]
    labels = torch.tensor([label])
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    nll(ours, labels).sum().backward()
    F.cross_entropy(theirs, labels).backward()
    assert denormal(theirs.grad).any()  # else this shows nothing
    assert not denormal(ours.grad).any()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-25, rtol=1e-6)


def test_nll_takes_labels_of_any_integer_type():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    for dtype in (torch.int32, torch.int16):
        labels = torch.tensor([1, 0], dtype=dtype)
        assert torch.equal(nll(logits, labels), nll(logits, labels.long()))


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        nll(torch.zeros(1, 2), torch.tensor([label]))


@pytest.mark.parametrize("dim", [0, 1])
def test_floored_logsumexp_matches_loops_along_either_axis(dim):
    values = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, -70.0]], dtype=torch.float64)
    lines = values.T.tolist() if dim == 0 else values.tolist()
    expected = [math.log(math.fsum(map(math.exp, line))) for line in lines]
    got = floored_logsumexp(values, dim)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_floored_logsumexp_has_no_denormal_gradient_along_either_axis():
    for dim in (0, 1):
        values = -torch.arange(121.0).unsqueeze(1 - dim).requires_grad_()
        values.retain_grad()
        floored_logsumexp(values, dim).sum().backward()
        assert values.grad.abs().sum() > 0.99
        assert not denormal(values.grad).any()


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 9)), min_size=1, max_size=6))
def test_weighted_mean_repeats_examples_as_often_as_their_weight(pairs):
    times = [1, 2, 5]
    repeated = [value for y, value in pairs for _ in range(times[y])]
    labels = torch.tensor([y for y, _ in pairs])
    values = torch.tensor([value for _, value in pairs], dtype=torch.float64)
    weight = torch.tensor(times, dtype=torch.float64)
    expected = torch.tensor(math.fsum(repeated) / len(repeated), dtype=torch.float64)
    torch.testing.assert_close(weighted_mean(values, labels, weight), expected)
    torch.testing.assert_close(weighted_mean(values, labels, 7 * weight), expected)


def test_weighted_mean_without_weights_is_the_mean():
    values = torch.tensor([1.0, 2.0, 6.0])
    assert weighted_mean(values, torch.tensor([0, 0, 1]), None).item() == 3.0


def test_weighted_mean_follows_dtype_and_integer_labels():
    labels = torch.tensor([1, 0, 1], dtype=torch.int16)
    weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
    got = weighted_mean(torch.tensor([1.0, 2.0, 3.0]), labels, weight)
    torch.testing.assert_close(got, torch.tensor(2.0))


def test_weighted_mean_of_nothing_is_nan():
    zeros, labels = torch.tensor([0.0, 1.0]), torch.tensor([0, 0])
    assert weighted_mean(torch.ones(2), labels, zeros).isnan()


def test_losses_without_schedule_do_not_change_by_progress():
    loss = CrossEntropyLoss(weight=[1.0, 9.0])
    assert isinstance(loss, Loss)
    logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    first = loss(logits, labels)
    loss.advance(1.0)
    assert torch.equal(loss(logits, labels), first)
