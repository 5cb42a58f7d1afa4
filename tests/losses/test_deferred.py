import pytest
import torch

from headtail.losses import CrossEntropyLoss, DeferredReweightingLoss, LDAMLoss

LOGITS = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 1])


def pair():
    return CrossEntropyLoss(), CrossEntropyLoss(weight=[1.0, 9.0])


@pytest.fixture
def loss():
    return DeferredReweightingLoss(*pair())


def test_fresh_it_is_the_unweighted_loss(loss):
    before, after = pair()
    assert not loss.switched
    assert torch.equal(loss(LOGITS, LABELS), before(LOGITS, LABELS))
    assert not torch.equal(before(LOGITS, LABELS), after(LOGITS, LABELS))


@pytest.mark.parametrize("start", [0.25, 0.8, 1.0])
def test_it_switches_at_start_and_goes_back(start):
    before, after = pair()
    loss = DeferredReweightingLoss(*pair(), start=start)
    steps = [(0.0, before), (start - 1e-9, before), (start, after), (1.0, after)]
    for progress, expected in [*steps, (0.0, before)]:
        loss.advance(progress)
        assert loss.switched == (expected is after)
        assert torch.equal(loss(LOGITS, LABELS), expected(LOGITS, LABELS))
        assert loss.start == start


def test_it_starts_after_80_percent(loss):
    assert loss.start == 0.8
    loss.advance(0.79)
    assert not loss.switched
    loss.advance(0.8)
    assert loss.switched


def test_both_losses_learn_of_the_time():
    inner = [DeferredReweightingLoss(*pair(), start=0.3) for _ in range(2)]
    DeferredReweightingLoss(*inner).advance(0.5)
    assert [one.switched for one in inner] == [True, True]


def test_gradient_on_both_sides(loss):
    logits = LOGITS.clone().requires_grad_()
    for progress in (0.0, 1.0):
        loss.advance(progress)
        assert torch.autograd.gradcheck(loss, (logits, LABELS))


def test_buffers_of_both_are_its_own():
    counts = [9, 1]
    loss = DeferredReweightingLoss(LDAMLoss(counts), LDAMLoss(counts, weight=[1, 2]))
    names = {"before.margins", "after.margins", "after.weight"}
    assert set(loss.state_dict()) == names
    assert loss.float().after.weight.dtype == torch.float32


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_outside_is_refused_and_changes_nothing(loss, progress):
    loss.advance(0.9)
    with pytest.raises(
        ValueError, match=rf"progress must be .* \[0, 1\]; got {progress}"
    ):
        loss.advance(progress)
    assert loss.switched


@pytest.mark.parametrize("start", [0.0, -0.5, 1.5, float("nan")])
def test_bad_start_is_refused(start):
    with pytest.raises(ValueError, match=rf"start must be .* \(0, 1\]; got {start}"):
        DeferredReweightingLoss(*pair(), start=start)
