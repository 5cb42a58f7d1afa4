import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from headtail.training.schedule import Optimization, Schedule, build_optimizer


def rates_of(scheduler, n_epochs):
    """Return the rates that a scheduler of torch's gives at whole epochs."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduled, rates = scheduler(optimizer), []
    for _ in range(n_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduled.step()
    return rates


def test_the_cosine_is_that_of_torch_and_ends_at_zero():
    schedule = Schedule(n_epochs=30)
    expected = rates_of(lambda o: lr_scheduler.CosineAnnealingLR(o, 30), 30)
    assert [schedule.rate(e) for e in range(30)] == pytest.approx(expected)
    assert schedule.rate(30) == 0.0
    assert schedule.rate(0) == 1.0


def test_the_steps_are_those_of_torch():
    schedule = Schedule(n_epochs=9, decay="steps", milestones=(3, 7), factor=0.2)
    expected = rates_of(lambda o: lr_scheduler.MultiStepLR(o, [3, 7], 0.2), 9)
    assert [schedule.rate(e) for e in range(9)] == pytest.approx(expected)


def test_ldam_takes_a_hundredth_after_160_and_again_after_180_epochs():
    schedule = Schedule(
        n_epochs=200,
        decay="steps",
        milestones=(160, 180),
        factor=0.01,
        warmup_epochs=5,
    )
    rates = [schedule.rate(e) for e in (0, 1, 4, 5, 159.99, 160, 179.99, 180, 199.99)]
    expected = [0, 0.2, 0.8, 1, 1, 1e-2, 1e-2, 1e-4, 1e-4]
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("decay", ["cosine", "constant"])
def test_the_warm_up_climbs_in_a_line_to_the_whole_rate(decay):
    schedule = Schedule(n_epochs=10, decay=decay, warmup_epochs=2.5)
    rates = [schedule.rate(k / 4) for k in range(11)]
    assert rates == pytest.approx([k / 10 for k in range(11)])


def test_the_cosine_begins_where_the_warm_up_ends():
    schedule = Schedule(n_epochs=14, warmup_epochs=2)
    rates = [schedule.rate(e) for e in (2, 6, 8, 10, 14)]
    assert rates == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_a_constant_rate_stays():
    schedule = Schedule(n_epochs=3, decay="constant")
    assert [schedule.rate(e) for e in (0, 1.7, 3)] == [1.0, 1.0, 1.0]


@given(st.integers(1, 300), st.floats(0, 0.99), st.floats(0, 1))
def test_a_cosine_is_symmetric_and_between_0_and_1(n_epochs, warm, part):
    schedule = Schedule(n_epochs=n_epochs, warmup_epochs=warm * n_epochs)
    begin = schedule.warmup_epochs
    early = begin + part * (n_epochs - begin)
    late = begin + n_epochs - early
    assert -1e-9 <= schedule.rate(early) <= 1
    assert schedule.rate(early) + schedule.rate(late) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_epochs": 0}, r"n_epochs must be at least 1; got 0"),
        ({"decay": "linear"}, r"decay must be one of .*; got 'linear'"),
        ({"warmup_epochs": 3}, r"less than n_epochs \(3\); got 3"),
        ({"warmup_epochs": -1}, r"warmup_epochs must be at least 0.*; got -1"),
        ({"warmup_epochs": math.nan}, r"warmup_epochs must .*; got nan"),
        ({"decay": "steps"}, r"milestones must .*; got \(\) with 'steps'"),
        ({"milestones": [2]}, r"milestones must .*; got \(2,\) with 'cosine'"),
        (
            {"decay": "steps", "milestones": [2], "factor": 0},
            r"factor must be positive; got 0",
        ),
    ],
)
def test_bad_schedules_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**({"n_epochs": 3} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0}, r"learning_rate must be positive; got 0"),
        ({"learning_rate": math.nan}, r"learning_rate must be positive; got nan"),
        ({"classifier_learning_rate": -1}, r"classifier_learning_rate must .* -1"),
        ({"batch_size": 0}, r"batch_size must be positive; got 0"),
        ({"clip_norm": 0.0}, r"clip_norm must be positive; got 0.0"),
        ({"optimizer": "adam"}, r"optimizer must be 'sgd' or 'adamw'; got 'adam'"),
        ({"momentum": 1}, r"momentum must be in \[0, 1\); got 1"),
        ({"weight_decay": -0.1}, r"weight_decay must be at least 0; got -0.1"),
    ],
)
def test_bad_optimizations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Optimization(**({"learning_rate": 0.1} | options))


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_steps_as_its_formula_says_in_each_group(nesterov):
    parameters = [torch.tensor(2.0), torch.tensor(-1.0)]
    rates, decays, momentum = [0.1, 0.01], [0.5, 0.0], 0.9
    groups = [
        {"params": [p], "lr": rate, "weight_decay": decay}
        for p, rate, decay in zip(parameters, rates, decays, strict=True)
    ]
    optimization = Optimization(
        learning_rate=9.0, momentum=momentum, nesterov=nesterov, weight_decay=9.0
    )
    optimizer = build_optimizer(groups, optimization)
    expected, velocity = [2.0, -1.0], [0.0, 0.0]
    for gradient in (1.0, -3.0, 0.5):
        for i in range(2):
            parameters[i].grad = torch.tensor(gradient)
            pull = gradient + decays[i] * expected[i]
            velocity[i] = momentum * velocity[i] + pull
            step = pull + momentum * velocity[i] if nesterov else velocity[i]
            expected[i] -= rates[i] * step
        optimizer.step()
    assert [p.item() for p in parameters] == pytest.approx(expected)


def test_adamw_decays_apart_from_the_gradient():
    weight = torch.tensor(2.0)
    groups = [{"params": [weight], "lr": 0.1, "weight_decay": 0.5}]
    optimization = Optimization(learning_rate=9.0, optimizer="adamw")
    optimizer = build_optimizer(groups, optimization)
    weight.grad = torch.tensor(1e-3)
    optimizer.step()
    # Adam's first step is the rate, however small the gradient.
    assert weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5) - 0.1, abs=1e-5)
