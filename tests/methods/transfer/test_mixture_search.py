"""The search for a mixture: its constraint, its order, its record."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from headtail.methods._simulated_tails import SimulatedTail
from headtail.methods.transfer import _mixture_search, _mixture_trial
from headtail.methods.transfer._mixture_search import (
    MEMORISED,
    UNKNOWN,
    choose_mixture,
    donor_thresholds,
)
from headtail.tensors import unit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("counts", "thresholds"),
    [
        ([101, 101, 5], (20, 100)),
        ([101, 100, 5], (20,)),
        ([900, 21, 20], (20,)),
        ([900, 20, 19], (0,)),
        ([19, 19], (0,)),
        ([1, 1], (0,)),
    ],
)
def test_two_classes_must_exceed_a_threshold_for_donors(counts, thresholds):
    assert donor_thresholds(np.array(counts)) == thresholds


def searched(score, donors=(20, 100)):
    """Return what was chosen, and every score that was asked for."""
    known = {}

    def remember(mixture):
        return known.setdefault(mixture, _mixture_search._Score(*score(mixture)))

    start = UNKNOWN._replace(donors=donors[0])
    return _mixture_search._searched(start, donors, remember), known


def test_room_for_the_head_comes_before_recall():
    def score(mixture):
        loses = mixture.members != "linear" or mixture.prior > 0
        return (-0.01, 0.9) if loses else (0.0, 0.3 + mixture.prior)

    best, _ = searched(score)
    assert (best.members, best.prior) == ("linear", 0.0)


def test_where_all_lose_too_much_the_one_that_loses_least_is_taken():
    best, known = searched(lambda m: (-0.1 - abs(m.prior - 0.25), m.transfer))
    assert best.prior == 0.25
    assert max(s.slack for s in known.values()) == known[best].slack


def test_ties_go_to_the_first():
    best, known = searched(lambda _: (0.0, 0.5))
    assert best == next(iter(known))
    assert best.members == "linear"


@pytest.mark.parametrize("members", ["both", "composed"])
def test_a_tie_keeps_the_coefficients_that_the_search_came_with(members):
    best, _ = searched(lambda m: (0.0, float(m.members == members)))
    assert best == UNKNOWN._replace(members=members)


def test_the_linear_member_has_a_prior_of_its_own():
    best, _ = searched(lambda m: (0.0, (m.members == "linear") - abs(m.prior - 0.25)))
    assert best == UNKNOWN._replace(members="linear", prior=0.25)


@pytest.mark.parametrize("members", ["both", "composed"])
def test_an_optimum_inside_the_grid_is_found(members):
    target = UNKNOWN._replace(
        members=members,
        prior=0.375,
        transfer=1.0,
        prototype=0.0,
        half_count=5.0,
        donors=100,
        temperature=30.0,
    )
    wrong = lambda m: -sum(a != b for a, b in zip(m, target, strict=True))  # noqa: E731
    best, _ = searched(lambda m: (0.0, wrong(m)))
    assert best == target


def test_a_second_round_finds_what_depends_on_a_later_coefficient():
    def score(mixture):
        # A prior is worth something only with the warmer attention.
        return 0.0, mixture.temperature + mixture.prior * (mixture.temperature - 10.0)

    best, _ = searched(score)
    assert (best.temperature, best.prior) == (30.0, 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_was_tried_is_better_than_what_is_chosen(seed):
    rng = np.random.default_rng(seed)
    best, known = searched(lambda _: (min(rng.normal(), 0.0), rng.random()))
    assert best == max(known, key=known.get)


@pytest.mark.parametrize("donors", [(0,), (20,), (20, 100)])
def test_only_thresholds_that_have_donors_are_tried(donors):
    best, known = searched(lambda m: (0.0, -m.donors), donors)
    assert {mixture.donors for mixture in known} == set(donors)
    assert best.donors == donors[0]


@dataclass
class MadeUpTrial:
    tail: SimulatedTail
    labels: torch.Tensor
    scored: Callable
    plain_recall: float
    recall_of_tail: float
    asked: list

    def score(self, mixture, real_counts):
        return self.scored(mixture)

    def plain(self, real_counts):
        return self.plain_recall

    def tail_recall(self, mixture):
        self.asked.append(mixture)
        return self.recall_of_tail


POSITIONS = torch.arange(9).repeat_interleave(torch.tensor([60] * 8 + [3]))
CLASSES = np.array(list("abcdefghi"))


@pytest.fixture
def choose(monkeypatch):
    """Choose by made-up scores; one function, and one of each recall, per trial."""

    def run(
        *scores, max_head_loss=0.06, plain=(0.9,), tails=(0.5,), positions=POSITIONS
    ):
        made = []

        def make(directions, positions, prototypes_of, tail, generator):
            scored, of_head, of_tail = (
                each[len(made) % len(each)] for each in (scores, plain, tails)
            )
            labels = positions[tail.held_back]
            made.append(MadeUpTrial(tail, labels, scored, of_head, of_tail, []))
            return made[-1]

        monkeypatch.setattr(_mixture_search, "new_trial", make)
        options = {"max_head_loss": max_head_loss, "generator": generator()}
        best, selection = choose_mixture(None, positions, None, CLASSES, **options)
        return best, selection, made

    return run


def linear_or(linear, other):
    return lambda mixture: linear if mixture.members == "linear" else other


@pytest.mark.parametrize(
    ("head", "max_head_loss", "members"),
    [
        (0.85, 0.06, "both"),
        (0.85, 0.04, "linear"),
        (0.5, 1.0, "both"),
        # More room than is needed does not count.
        (0.9, 0.0, "both"),
        (0.89, 0.0, "linear"),
    ],
)
def test_the_head_may_lose_so_much_and_no_more(choose, head, max_head_loss, members):
    best, _, _ = choose(
        linear_or((0.3, 0.99), (0.6, head)), max_head_loss=max_head_loss
    )
    assert best.members == members


def test_the_best_recall_is_chosen_where_the_head_may_lose_everything(choose):
    rng = np.random.default_rng(0)
    best, selection, _ = choose(lambda _: rng.random(2), max_head_loss=1.0)
    assert selection.best == best._asdict()
    assert selection.best_index == selection.scores.argmax()


def test_scores_are_means_over_the_tails(choose):
    # Each alone is too much of a loss, or none at all; together they are just enough.
    one, other = linear_or((0.1, 0.9), (0.2, 0.95)), linear_or((0.1, 0.9), (0.6, 0.75))
    best, selection, made = choose(one, other, max_head_loss=0.06)
    assert len(made) % 2 == 0
    assert best.members == "both"
    assert selection.scores[selection.best_index] == pytest.approx(0.4)
    assert choose(one, other, max_head_loss=0.04)[0].members == "linear"


def test_what_the_head_loses_is_a_mean_over_the_tails_too(choose):
    same = linear_or((0.1, 0.8), (0.6, 0.8))
    assert choose(same, plain=(0.7, 0.99), max_head_loss=0.05)[0].members == "both"
    better = linear_or((0.1, 0.8), (0.6, 0.79))
    assert choose(better, plain=(0.7, 1.0), max_head_loss=0.05)[0].members == "linear"


EASY = _mixture_search._TOO_EASY


def test_where_tails_are_too_easy_the_safe_mixture_is_taken(choose):
    # Though it is worse on them, in everything.
    def score(mixture):
        return (0.1, 0.1) if mixture.members == MEMORISED.members else (0.9, 0.9)

    best, selection, made = choose(score, tails=(EASY - 0.1, EASY + 0.1))
    assert best == MEMORISED._replace(donors=20)
    # The record has it beside where a search would have begun.
    unknown = UNKNOWN._replace(donors=20)
    recorded = [dict(candidate) for candidate in selection.candidates]
    assert recorded == [unknown._asdict(), best._asdict()]
    assert selection.best == best._asdict()
    assert f"recognised at {EASY:.0%}: too easy" in selection.data
    assert all(trial.asked == [unknown] for trial in made)


def test_a_little_less_is_not_too_easy(choose):
    best, selection, _ = choose(
        linear_or((0.9, 0.9), (0.1, 0.9)), tails=(EASY - 0.1, EASY + 0.0999)
    )
    assert best.members == "linear"
    assert "too easy" not in selection.data


@pytest.mark.parametrize(("count", "donors"), [(20, 0), (60, 20), (110, 20)])
@pytest.mark.parametrize("tail", [0.0, 1.0])
def test_donors_are_those_that_the_data_have(choose, count, donors, tail):
    positions = torch.arange(8).repeat_interleave(count)
    best, _, _ = choose(lambda _: (0.5, 0.9), tails=(tail,), positions=positions)
    assert best.donors == donors


def test_fewer_cut_classes_than_the_least_choose_nothing(choose, monkeypatch):
    _, _, made = choose(linear_or((0.9, 0.9), (0.1, 0.9)))
    n_cut = sum(int(trial.tail.cut.sum()) for trial in made)
    monkeypatch.setattr(_mixture_search, "_LEAST_CUT", n_cut)
    assert choose(linear_or((0.9, 0.9), (0.1, 0.9)))[1] is not None
    monkeypatch.setattr(_mixture_search, "_LEAST_CUT", n_cut + 1)
    best, selection, made = choose(linear_or((0.9, 0.9), (0.1, 0.9)))
    assert (best, selection, made) == (UNKNOWN._replace(donors=20), None, [])


@pytest.mark.parametrize("counts", [[1, 1, 1], [2, 2], [200, 2, 1], [47, 19, 2]])
def test_where_no_tail_can_be_simulated_nothing_is_chosen(counts):
    positions = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    options = {"max_head_loss": 0.1, "generator": generator()}
    best, selection = choose_mixture(None, positions, None, CLASSES, **options)
    assert (best, selection) == (UNKNOWN._replace(donors=best.donors), None)
    assert best.donors == 0


@pytest.mark.parametrize(
    ("in_all", "most", "n_tails"),
    [(3 * 483, 6, 3), (3 * 483 - 1, 6, 2), (482, 6, 1), (10**6, 4, 4)],
)
def test_the_fewer_examples_the_more_tails(choose, monkeypatch, in_all, most, n_tails):
    monkeypatch.setattr(_mixture_search, "_EXAMPLES_IN_ALL", in_all)
    monkeypatch.setattr(_mixture_search, "_MOST_TAILS", most)
    monkeypatch.setattr(_mixture_search, "_LEAST_CUT", 1)
    _, selection, made = choose(linear_or((0.9, 0.9), (0.1, 0.9)))
    assert len(made) == n_tails
    assert f"{n_tails} simulated tail(s), {2 * n_tails} cut class(es)" in selection.data
    assert len({tuple(trial.tail.kept.tolist()) for trial in made}) == n_tails


def test_no_more_are_held_back_than_are_needed(choose, monkeypatch):
    monkeypatch.setattr(_mixture_search, "_MOST_HELD_BACK", 50)
    _, _, made = choose(linear_or((0.9, 0.9), (0.1, 0.9)))
    assert all(0 < int(trial.tail.held_back.sum()) <= 50 for trial in made)


def test_the_record_says_what_was_scored_and_on_what(choose):
    best, selection, made = choose(lambda mixture: (mixture.prior, 0.9))
    recorded = {c["prior"]: s for c, s in zip(*selection_parts(selection), strict=True)}
    assert all(prior == score for prior, score in recorded.items())
    distinct = {tuple(candidate.values()) for candidate in selection.candidates}
    assert len(distinct) == len(selection.candidates)
    assert selection.best == best._asdict()
    assert selection.n_samples == sum(len(trial.labels) for trial in made)
    # The class of three examples is never held back.
    assert selection.missing_classes.tolist() == ["i"]
    assert selection.optimistic is False


def selection_parts(selection):
    return selection.candidates, selection.scores


@pytest.fixture
def problem(long_tail):
    """Directions of the rows, positions, and prototypes of those kept."""
    order = np.random.default_rng(0).permutation(len(long_tail[1]))
    x, y = (torch.tensor(part[order]) for part in long_tail)
    x = unit(x)

    def prototypes_of(kept):
        rows = [x[kept & (y == c)].mean(dim=0) for c in range(10)]
        return unit(torch.stack(rows))

    return lambda rows: x[rows], y, prototypes_of, np.arange(10)


def chosen(problem, seed=0, max_head_loss=0.1):
    return choose_mixture(
        *problem, max_head_loss=max_head_loss, generator=generator(seed)
    )


def test_the_same_seed_chooses_the_same(problem, one_tail):
    (first, record), (second, again) = chosen(problem), chosen(problem)
    assert first == second
    assert record.candidates == again.candidates
    np.testing.assert_array_equal(record.scores, again.scores)
    _, other = chosen(problem, seed=1)
    assert (
        other.candidates != record.candidates or (other.scores != record.scores).any()
    )


def test_what_is_chosen_is_the_first_of_the_best_that_spare_the_head(
    problem, one_tail, monkeypatch
):
    trials, new = [], _mixture_search.new_trial
    monkeypatch.setattr(
        _mixture_search,
        "new_trial",
        lambda *parts: trials.append(new(*parts)) or trials[0],
    )
    best, selection = chosen(problem, max_head_loss=0.02)
    (trial,), counts = trials, torch.bincount(problem[1])
    candidates = [type(best)(**candidate) for candidate in selection.candidates]
    found = [trial.score(mixture, counts) for mixture in candidates]
    np.testing.assert_allclose(selection.scores, [recall for recall, _ in found])
    spared = [head >= trial.plain(counts) - 0.02 for _, head in found]
    assert 0 < sum(spared) < len(spared)
    recalls = np.where(spared, selection.scores, -1)
    assert selection.best_index == recalls.argmax()
    assert candidates[recalls.argmax()] == best


def test_a_trial_learns_from_what_is_kept_and_is_scored_on_the_rest(
    problem, one_tail, monkeypatch
):
    learned, trials = [], []
    train, make = _mixture_trial.train_balanced, _mixture_search.new_trial

    def training(directions, labels, rows, prototypes, generator):
        learned.append((labels, rows, prototypes))
        return train(directions, labels, rows, prototypes, generator)

    monkeypatch.setattr(_mixture_trial, "train_balanced", training)
    monkeypatch.setattr(
        _mixture_search,
        "new_trial",
        lambda *parts: trials.append(make(*parts)) or trials[0],
    )
    directions, y, prototypes_of, _ = problem
    chosen(problem)
    ((labels, rows, prototypes),), (trial,) = learned, trials
    tail = trial.tail
    assert rows.tolist() == tail.kept.nonzero().flatten().tolist()
    # Two real tail classes are left out; the others are numbered without gaps.
    assert len(trial.occurs) == 8
    assert trial.occurs[labels].equal(y[rows])
    assert trial.held.equal(directions(tail.held_back.nonzero().flatten()))
    assert trial.labels.equal(y[tail.held_back])
    assert not (tail.kept & tail.held_back).any()
    assert prototypes.equal(prototypes_of(tail.kept)[trial.occurs])
    assert trial.prototypes is prototypes
