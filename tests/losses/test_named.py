"""The table of losses, and what holds for every loss in it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail import losses
from headtail.losses import LOSSES, build_loss

COUNTS = [100, 7, 30, 2]
EVERY = pytest.mark.parametrize("name", LOSSES)
# Each loss as it is at the end of training, where every part of it is in use.
OPTIONS = {
    "focal": {"gamma": 0.5},
    "class-balanced": {"beta": 0.9},
    "class-balanced-focal": {"beta": 0.9, "gamma": 1},
    "logit-adjusted": {"tau": 2},
    "ldam": {"max_margin": 0.25, "scale": 4},
    "ldam-drw": {"max_margin": 0.25, "scale": 4, "beta": 0.9, "start": 0.5},
    "lade": {"alpha": 0.7, "lambda_": 0.2},
}
BUFFERS = {
    "cross-entropy": set(),
    "class-weighted": {"weight"},
    "focal": set(),
    "class-balanced": {"weight"},
    "class-balanced-focal": {"weight"},
    "balanced-softmax": {"log_counts"},
    "logit-adjusted": {"log_prior"},
    "ldam": {"margins"},
    "ldam-drw": {"before.margins", "after.margins", "after.weight"},
    "lade": {"log_prior"},
}


def late(name, counts=None):
    loss = build_loss(name, COUNTS if counts is None else counts, OPTIONS.get(name))
    loss.advance(1.0)
    return loss


def batch(seed=0, n_samples=11):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n_samples, 4, generator=generator, dtype=torch.float64)
    return logits, torch.randint(4, (n_samples,), generator=generator)


def test_names_stand_in_their_order():
    assert LOSSES == (
        "cross-entropy",
        "class-weighted",
        "focal",
        "class-balanced",
        "class-balanced-focal",
        "balanced-softmax",
        "logit-adjusted",
        "ldam",
        "ldam-drw",
        "lade",
    )


def by_hand():
    effective = losses.effective_number_weights(COUNTS)
    inverse = losses.inverse_frequency_weights(COUNTS)
    return {
        "cross-entropy": losses.CrossEntropyLoss(),
        "class-weighted": losses.CrossEntropyLoss(weight=inverse),
        "focal": losses.FocalLoss(gamma=2.0),
        "class-balanced": losses.CrossEntropyLoss(weight=effective),
        "class-balanced-focal": losses.FocalLoss(gamma=2.0, weight=effective),
        "balanced-softmax": losses.BalancedSoftmaxLoss(COUNTS),
        "logit-adjusted": losses.LogitAdjustedLoss(COUNTS, tau=1.0),
        "ldam": losses.LDAMLoss(COUNTS, max_margin=0.5, scale=30.0),
        "ldam-drw": losses.LDAMLoss(COUNTS, weight=effective),
        "lade": losses.LADELoss(COUNTS, alpha=0.1, lambda_=0.01),
    }


@EVERY
def test_without_options_it_is_the_loss_by_its_defaults(name):
    logits, labels = batch()
    built = build_loss(name, COUNTS)
    built.advance(1.0)
    assert isinstance(built, losses.Loss)
    torch.testing.assert_close(built(logits, labels), by_hand()[name](logits, labels))


def test_losses_with_other_names_have_other_values():
    logits, labels = batch()
    values = [round(late(name)(logits, labels).item(), 9) for name in LOSSES]
    assert len(set(values)) == len(LOSSES)


def test_drw_before_its_switch_is_ldam():
    logits, labels = batch()
    drw, ldam = build_loss("ldam-drw", COUNTS), build_loss("ldam", COUNTS)
    for progress in (0.0, 0.799):
        drw.advance(progress)
        assert torch.equal(drw(logits, labels), ldam(logits, labels))
    drw.advance(0.8)
    assert not torch.equal(drw(logits, labels), ldam(logits, labels))


@pytest.mark.parametrize(
    ("name", "option"), [(name, o) for name, own in OPTIONS.items() for o in own]
)
def test_every_option_reaches_the_loss(name, option):
    logits, labels = batch()
    value = OPTIONS[name][option]
    progress = 0.6 if option == "start" else 1.0  # between the given start and 0.8
    given, default = build_loss(name, COUNTS, {option: value}), build_loss(name, COUNTS)
    for loss in (given, default):
        loss.advance(progress)
    assert not torch.equal(given(logits, labels), default(logits, labels))


def test_options_of_both_losses_of_drw():
    logits, labels = batch()
    options = {"max_margin": 0.1, "scale": 3.0}
    drw = build_loss("ldam-drw", COUNTS, options)
    ldam = build_loss("ldam", COUNTS, options)
    assert torch.equal(drw(logits, labels), ldam(logits, labels))
    assert drw.before.scale == drw.after.scale == 3.0
    assert drw.after.max_margin == 0.1


@EVERY
def test_unknown_options_are_refused_and_the_known_named(name):
    known = list(OPTIONS.get(name, {}))
    have = rf"its options are \[.*{known[-1]}.*\]" if known else "it has none"
    message = rf"loss '{name}' has no option \['weights'\]; {have}\."
    with pytest.raises(ValueError, match=message):
        build_loss(name, COUNTS, {"weights": 1.0})


def test_unknown_names_are_refused():
    with pytest.raises(
        ValueError, match=r"loss must be one of cross-entropy, .*, lade; got 'CE'\."
    ):
        build_loss("CE", COUNTS)


@pytest.mark.parametrize(
    ("name", "option"), [(name, o) for name, own in OPTIONS.items() for o in own]
)
def test_wrong_values_are_the_losses_own_error(name, option):
    with pytest.raises(ValueError, match=rf"^{option} must be a number in .* got -3"):
        build_loss(name, COUNTS, {option: -3})
    with pytest.raises(TypeError, match=option):
        build_loss(name, COUNTS, {option: "much"})


def test_options_given_stay_as_they_are():
    options = {"gamma": 1.0}
    build_loss("focal", COUNTS, options)
    assert options == {"gamma": 1.0}


# What holds for every loss.


@EVERY
@given(seed=st.integers(0, 2**31))
def test_permuting_the_classes_changes_nothing(name, seed):
    logits, labels = batch(seed)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    moved = late(name, torch.tensor(COUNTS)[order])
    torch.testing.assert_close(
        moved(logits[:, order], order.argsort()[labels]), late(name)(logits, labels)
    )


@EVERY
@given(constants=st.lists(st.floats(-50, 50), min_size=11, max_size=11))
def test_a_constant_per_row_changes_nothing(name, constants):
    if name == "lade":
        return  # it holds the level of the logits: tested below
    logits, labels = batch()
    moved = logits + torch.tensor(constants, dtype=torch.float64)[:, None]
    loss = late(name)
    torch.testing.assert_close(loss(moved, labels), loss(logits, labels))


def test_lade_holds_the_level_of_the_logits():
    logits, labels = batch()
    loss = late("lade")
    assert loss(logits + 50, labels) > loss(logits, labels) + 1


@EVERY
@given(seed=st.integers(0, 2**31))
def test_order_of_the_batch_changes_nothing(name, seed):
    logits, labels = batch()
    order = torch.randperm(11, generator=torch.Generator().manual_seed(seed))
    loss = late(name)
    torch.testing.assert_close(loss(logits[order], labels[order]), loss(logits, labels))


@EVERY
def test_what_it_knows_of_the_classes_is_in_its_state(name):
    loss = late(name)
    state = loss.state_dict()
    assert set(state) == BUFFERS[name]
    assert all(value.dtype == torch.float64 for value in state.values())
    assert not list(loss.parameters())
    assert all(buffer.is_meta for buffer in loss.to("meta").buffers())


@EVERY
def test_state_restores_another_loss(name):
    logits, labels = batch()
    loss, other = late(name), late(name, [1, 2, 3, 4])
    differs = not torch.equal(loss(logits, labels), other(logits, labels))
    assert differs == bool(BUFFERS[name])
    other.load_state_dict(loss.state_dict())
    assert torch.equal(loss(logits, labels), other(logits, labels))


@EVERY
def test_dtype_follows_the_logits(name):
    logits, labels = batch()
    exact = late(name)(logits, labels)
    value = late(name)(logits.float(), labels)
    assert (exact.dtype, value.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-6)
    # A module moved to float32 still takes logits of either.
    moved = late(name).float()
    assert moved(logits, labels).dtype == torch.float64
    assert late(name)(logits.bfloat16(), labels).dtype == torch.bfloat16


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1.0, 1e4])
@pytest.mark.parametrize(
    "labels",
    [[0, 1, 2, 3], [3, 3, 3, 3], [0, 0, 2, 0]],
    ids=["all", "one-class", "absent"],
)
def test_unusual_batches_have_finite_gradients(name, labels, factor, dtype):
    logits, _ = batch(n_samples=4)
    logits[1] = logits[0]  # duplicates
    logits = (factor * logits).to(dtype).requires_grad_()
    loss = late(name)(logits, torch.tensor(labels))
    assert loss.isfinite()
    loss.backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() > 1e-4


@EVERY
def test_integer_labels_of_any_type(name):
    logits, labels = batch()
    loss = late(name)
    for dtype in (torch.int32, torch.int16):
        assert torch.equal(loss(logits, labels.to(dtype)), loss(logits, labels))


@EVERY
def test_global_state_is_left_alone(name):
    state = torch.get_rng_state()
    late(name)(*batch())
    assert torch.equal(torch.get_rng_state(), state)
