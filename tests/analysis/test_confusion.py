from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from headtail.analysis import confused_pairs, group_confusion
from headtail.evaluation import evaluate
from headtail.statistics import shot_groups

COUNTS = np.array([19, 101, 20, 100, 3, 500, 1])
GROUPS = shot_groups(COUNTS)
MEMBERS = {"many": [1, 5], "medium": [2, 3], "few": [0, 4, 6]}


def drawn(n_samples=300, missing=(), seed=0):
    rng = np.random.default_rng(seed)
    positions = rng.choice(np.setdiff1d(np.arange(7), missing), size=n_samples)
    predicted = np.where(
        rng.random(n_samples) < 0.4, positions, rng.integers(7, size=n_samples)
    )
    return positions, predicted


@pytest.mark.parametrize("missing", [(), (4,), (2, 3), (0, 1, 2, 3, 4, 6)])
def test_rates_are_those_of_the_confusion_matrix(missing):
    positions, predicted = drawn(missing=missing)
    result = group_confusion(positions, predicted, GROUPS)
    matrix = confusion_matrix(positions, predicted, labels=range(7))
    assert result.groups == tuple(MEMBERS)
    assert result.outcomes == ("right", "many", "medium", "few")
    for row, own in enumerate(MEMBERS.values()):
        classes = [c for c in own if matrix[c].sum()]
        assert result.n_classes[row] == len(classes)
        assert result.n[row] == matrix[own].sum()
        if not classes:
            assert np.isnan(result.rates[row]).all()
            continue
        shares = [matrix[c] / matrix[c].sum() for c in classes]
        right = [share[c] for c, share in zip(classes, shares, strict=True)]
        expected = [np.mean(right)] + [
            np.mean(
                [
                    sum(share[j] for j in others if j != c)
                    for c, share in zip(classes, shares, strict=True)
                ]
            )
            for others in MEMBERS.values()
        ]
        np.testing.assert_allclose(result.rates[row], expected)


@pytest.mark.parametrize("missing", [(), (0, 5), (0, 4, 6)])
def test_right_is_the_accuracy_of_the_group(missing):
    positions, predicted = drawn(missing=missing, seed=1)
    result = group_confusion(positions, predicted, GROUPS)
    figures = evaluate(positions, np.eye(7)[predicted], COUNTS, n_replicates=0)
    for row, name in enumerate(result.groups):
        np.testing.assert_allclose(result.rates[row, 0], figures[name].value)
        assert result.n[row] == figures[name].n
        assert result.n_classes[row] == figures[name].n_classes


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1)


@given(pairs, st.permutations(range(7)))
def test_rows_sum_to_one_and_permuting_classes_changes_nothing(examples, order):
    positions, predicted = np.array(examples).T
    result = group_confusion(positions, predicted, GROUPS)
    occurs = result.n > 0
    np.testing.assert_allclose(result.rates[occurs].sum(axis=1), 1)
    assert np.isnan(result.rates[~occurs]).all()
    assert result.n.sum() == len(examples)
    place = np.argsort(order)
    again = group_confusion(
        place[positions], place[predicted], shot_groups(COUNTS[np.array(order)])
    )
    np.testing.assert_allclose(result.rates, again.rates)


def test_wrong_answers_within_the_own_group_are_not_right():
    result = group_confusion(np.array([1, 1]), np.array([5, 1]), GROUPS)
    assert result.rates[0].tolist() == [0.5, 0.5, 0, 0]


def test_classes_count_alike_whatever_their_examples():
    positions = np.array([0] * 9 + [4])
    predicted = np.array([0] * 9 + [1])
    result = group_confusion(positions, predicted, GROUPS)
    assert result.rates[2].tolist() == [0.5, 0.5, 0, 0]


def test_one_example_fills_one_row():
    result = group_confusion(np.array([6]), np.array([3]), GROUPS)
    assert result.rates[2].tolist() == [0, 0, 1, 0]
    assert np.isnan(result.rates[:2]).all()
    assert result.n_classes.tolist() == [0, 0, 1]


def by_dict(positions, predicted):
    """Return (true, predicted, rate, n) of all wrong pairs, best first."""
    sizes = Counter(positions.tolist())
    wrong = Counter(
        (a, b)
        for a, b in zip(positions.tolist(), predicted.tolist(), strict=True)
        if a != b
    )
    rows = [(a, b, n / sizes[a], n) for (a, b), n in wrong.items()]
    return sorted(rows, key=lambda row: (-row[2], -row[3], row[0], row[1]))


def rows_of(found):
    columns = found.true, found.predicted, found.rate, found.n
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("n", [1, 5, 1000])
@pytest.mark.parametrize("n_samples", [20, 500])
def test_pairs_are_those_that_a_dict_counts(n, n_samples):
    positions, predicted = drawn(n_samples, missing=[5], seed=2)
    found = confused_pairs(positions, predicted, 7, n)
    assert rows_of(found) == by_dict(positions, predicted)[:n]


def test_twenty_pairs_unless_asked_otherwise():
    positions, predicted = drawn(seed=3)
    assert len(by_dict(positions, predicted)) > 20
    assert len(confused_pairs(positions, predicted, 7).true) == 20


def test_equal_shares_rank_by_examples_then_by_class():
    positions = np.array([0, 0, 3, 3, 3, 3, 2, 1])
    predicted = np.array([1, 0, 3, 1, 3, 1, 1, 2])
    found = confused_pairs(positions, predicted, 4)
    assert rows_of(found) == [
        (1, 2, 1.0, 1),
        (2, 1, 1.0, 1),
        (3, 1, 0.5, 2),
        (0, 1, 0.5, 1),
    ]


def test_without_a_wrong_answer_there_is_no_pair():
    found = confused_pairs(np.array([0, 1]), np.array([0, 1]), 2)
    assert rows_of(found) == []


def test_read_only_arrays_are_taken(tmp_path):
    positions, predicted = drawn(40)
    once = group_confusion(positions, predicted, GROUPS)
    first = rows_of(confused_pairs(positions, predicted, 7))
    np.save(tmp_path / "predicted.npy", predicted)
    predicted = np.load(tmp_path / "predicted.npy", mmap_mode="r")
    positions.setflags(write=False)
    again = group_confusion(positions, predicted, GROUPS)
    np.testing.assert_array_equal(once.rates, again.rates)
    assert rows_of(confused_pairs(positions, predicted, 7)) == first


def test_no_pairs_cannot_be_asked_for():
    with pytest.raises(ValueError, match=r"n must be at least 1; got 0"):
        confused_pairs(np.array([0]), np.array([1]), 2, n=0)


def test_the_share_of_the_head_is_a_mean_over_mistaken_few_shot_classes():
    groups = shot_groups([500, 50, 9, 8, 7, 6])
    true = np.repeat([2, 3, 4, 5], [4, 2, 3, 2])
    # Class 2: of 3 mistakes 2 in the head; 3: none wrong; 4: 1 of 1; 5: 0 of 2.
    predicted = np.array([0, 0, 1, 2, 3, 3, 4, 4, 0, 2, 1])
    result = group_confusion(true, predicted, groups)
    shares = [2 / 3, 1, 0]
    assert result.tail_to_head == pytest.approx(np.mean(shares))
    assert result.tail_to_head_error == pytest.approx(scipy.stats.sem(shares))


def test_without_mistakes_there_is_no_share_and_of_one_class_no_error():
    groups = shot_groups([500, 9])
    right = group_confusion(np.array([1, 1]), np.array([1, 1]), groups)
    assert np.isnan([right.tail_to_head, right.tail_to_head_error]).all()
    one = group_confusion(np.array([1, 1]), np.array([0, 1]), groups)
    assert one.tail_to_head == 1
    assert np.isnan(one.tail_to_head_error)
