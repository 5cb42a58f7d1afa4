from itertools import cycle, islice, zip_longest
from typing import get_args

import pytest
import torch

from headtail.samplers import ClassSampler, Sampling, draw_epochs

RULES = get_args(Sampling)
LABELS = torch.tensor([0] * 13 + [1] * 6 + [3] * 3 + [2])


def epochs_of(rule, which, *, labels=LABELS, n_epochs=4, **options):
    """Return the draws of some epochs, asked of one sampler in this order."""
    sampler = ClassSampler(labels, rule, n_epochs=n_epochs, **options)
    draws = []
    for epoch in which:
        sampler.set_epoch(epoch)
        draws.append(list(sampler))
        assert len(draws[-1]) == len(sampler)
    return draws


def together(shares):
    """Lay the processes' draws side by side: the first of each, the second of each."""
    return [draw for turn in zip_longest(*shares) for draw in turn]


@pytest.mark.parametrize("rule", RULES)
def test_one_process_draws_the_epochs(rule):
    generator = torch.Generator().manual_seed(7)
    expected = [draws.tolist() for draws in draw_epochs(LABELS, rule, 4, generator)]
    assert epochs_of(rule, range(4), seed=7) == expected


@pytest.mark.parametrize("n_processes", [2, 3, 4, 50])
@pytest.mark.parametrize("rule", RULES)
def test_processes_draw_together_what_one_does(rule, n_processes):
    whole = epochs_of(rule, range(4), seed=3)
    shares = [
        epochs_of(rule, range(4), seed=3, rank=rank, n_processes=n_processes)
        for rank in range(n_processes)
    ]
    for epoch, draws in enumerate(whole):
        union = together([share[epoch] for share in shares])
        assert len({len(share[epoch]) for share in shares}) == 1
        # In step, and the first draws once more: a batch of all is a batch of the one.
        padding = -len(draws) % n_processes
        assert union == list(islice(cycle(draws), len(draws) + padding))


def test_two_processes_share_the_examples_out():
    first, second = (
        epochs_of("instance", range(2), labels=LABELS[:22], rank=r, n_processes=2)
        for r in (0, 1)
    )
    for one, other in zip(first, second, strict=True):
        assert not set(one) & set(other)
        assert sorted(one + other) == list(range(22))


@pytest.mark.parametrize("rule", RULES)
def test_an_epoch_is_the_same_in_whatever_order_they_come(rule):
    in_order = epochs_of(rule, range(4))
    for order in ([3, 2, 1, 0], [1, 1], [2, 0, 3, 0, 1]):
        assert epochs_of(rule, order) == [in_order[epoch] for epoch in order]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("rule", RULES)
def test_a_resumed_sampler_goes_on_like_an_unbroken_one(rule, rank):
    options = {"seed": 5, "rank": rank, "n_processes": 2}
    unbroken = epochs_of(rule, range(4), **options)
    assert epochs_of(rule, [2, 3], **options) == unbroken[2:]


@pytest.mark.parametrize("rule", RULES)
def test_epochs_and_seeds_differ(rule):
    first, second = epochs_of(rule, [0, 1], seed=0)
    assert first != second
    assert epochs_of(rule, [0], seed=1) != [first]
    assert epochs_of(rule, [0], seed=0) == [first]


def test_progressive_goes_from_the_examples_to_the_classes():
    labels = torch.tensor([0] * 9000 + [1] * 1000)
    epochs = epochs_of("progressive", range(5), labels=labels, n_epochs=5)
    rare = [sum(draw >= 9000 for draw in draws) / 10_000 for draws in epochs]
    # From a tenth to a half in even steps; five deviations of a share are 0.025.
    assert rare == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=0.025)


def test_without_set_epoch_the_first_epoch_comes_again():
    sampler = ClassSampler(LABELS, "progressive", n_epochs=3)
    assert (
        list(sampler) == list(sampler) == epochs_of("progressive", [0], n_epochs=3)[0]
    )


def test_class_aware_draws_four_of_a_class_and_every_class_in_turn():
    labels = torch.tensor([0] * 40 + [1] * 5 + [2] * 3)
    draws = [d for e in epochs_of("class-aware", range(4), labels=labels) for d in e]
    classes = labels[torch.tensor(draws)].reshape(-1, 4)
    assert (classes == classes[:, :1]).all()
    for turn in classes[:, 0].reshape(-1, 3).tolist():
        assert sorted(turn) == [0, 1, 2]
    # A class shows all of its examples before any of them again, over the epochs.
    for label, n_examples in enumerate([40, 5, 3]):
        own = [draw for draw in draws if labels[draw] == label]
        for start in range(0, len(own) - n_examples + 1, n_examples):
            assert len(set(own[start : start + n_examples])) == n_examples


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 2, "n_processes": 2}, r"rank must be in 0 … .*; got 2 of 2"),
        ({"rank": -1}, r"got -1 of 1"),
        ({"n_epochs": 0}, r"n_epochs must be at least 1; got 0"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ClassSampler(LABELS, "instance", **({"n_epochs": 3} | options))


@pytest.mark.parametrize("epoch", [-1, 3])
def test_an_epoch_outside_the_training_is_refused(epoch):
    sampler = ClassSampler(LABELS, "instance", n_epochs=3)
    with pytest.raises(ValueError, match=rf"in 0 … 2, .*; got {epoch}\."):
        sampler.set_epoch(epoch)
