"""Every figure against scikit-learn or a plain loop."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from headtail import evaluate, shot_groups

BINS = 15


@st.composite
def problems(draw):
    """Labels, probabilities with many ties, training counts; classes may be missing."""
    n_classes = draw(st.integers(1, 8))
    n_samples = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    votes = rng.integers(0, 4, (n_samples, n_classes))
    votes[np.arange(n_samples), rng.integers(0, n_classes, n_samples)] += 1
    proba = votes / votes.sum(axis=1, keepdims=True)
    proba = proba.astype(draw(st.sampled_from([np.float64, np.float32])))
    y_true = rng.integers(0, draw(st.integers(1, n_classes)), n_samples)
    counts = rng.choice([0, 5, 19, 20, 21, 99, 100, 101, 500], n_classes)
    return y_true, proba, counts


def mean_of(values):
    return statistics.fmean(values) if len(values) else float("nan")


def top5_loop(y_true, proba):
    """Per class present: the share whose true class is among the five best."""
    hits = {int(label): [] for label in np.unique(y_true)}
    for label, row in zip(y_true.tolist(), proba.tolist(), strict=True):
        # sorted() is stable: of equal probabilities the first class comes first.
        best = sorted(range(len(row)), key=lambda c: -row[c])[:5]
        hits[label].append(float(label in best))
    return [mean_of(values) for values in hits.values()]


def calibration_loop(y_true, proba):
    total = 0.0
    for b in range(BINS):
        inside = [
            (row.max(), row.argmax() == label)
            for label, row in zip(y_true, proba.astype(np.float64), strict=True)
            if b / BINS < row.max() <= (b + 1) / BINS
        ]
        if inside:
            confidence, hit = zip(*inside, strict=True)
            gap = abs(mean_of(confidence) - mean_of(hit))
            total += gap * len(inside) / len(y_true)
    return total


@given(problems())
def test_class_recalls_are_those_of_scikit_learn_and_nan_if_missing(problem):
    y_true, proba, counts = problem
    present = np.unique(y_true)
    recall = evaluate(y_true, proba, counts, n_replicates=0).recall
    expected = recall_score(
        y_true, proba.argmax(1), labels=present, average=None, zero_division=0
    )
    np.testing.assert_allclose(recall[present], expected)
    assert np.isnan(np.delete(recall, present)).all()


@given(problems(), st.sampled_from(["decoupling", "ckt"]))
def test_group_accuracies_are_means_of_the_recalls_present(problem, convention):
    y_true, proba, counts = problem
    present = np.unique(y_true)
    result = evaluate(y_true, proba, counts, convention=convention, n_replicates=0)
    assert result["all"].value == pytest.approx(mean_of(result.recall[present]))
    for name, mask in shot_groups(counts, convention).items():
        members = [c for c in present if mask[c]]
        expected = mean_of(result.recall[members])
        assert result[name].value == pytest.approx(expected, nan_ok=True)
        assert result[name].n_classes == len(members)
        assert result[name].n == np.isin(y_true, members).sum()


@given(problems())
def test_micro_accuracy_and_macro_f1_are_those_of_scikit_learn(problem):
    y_true, proba, counts = problem
    predicted = proba.argmax(1)
    result = evaluate(y_true, proba, counts, n_replicates=0)
    assert result["micro_accuracy"].value == pytest.approx(
        accuracy_score(y_true, predicted)
    )
    assert result["macro_f1"].value == pytest.approx(
        f1_score(
            y_true,
            predicted,
            labels=np.unique(y_true),
            average="macro",
            zero_division=0,
        )
    )


@given(problems())
def test_worst_and_harmonic_mean_are_those_of_the_recalls_present(problem):
    y_true, proba, counts = problem
    result = evaluate(y_true, proba, counts, n_replicates=0)
    recalls = result.recall[np.unique(y_true)].tolist()
    assert result["worst_class_recall"].value == min(recalls)
    assert result["harmonic_mean_recall"].value == pytest.approx(
        statistics.harmonic_mean(recalls)
    )


@given(problems())
def test_top5_breaks_ties_as_argmax_does(problem):
    y_true, proba, counts = problem
    result = evaluate(y_true, proba, counts, n_replicates=0)
    expected = mean_of(top5_loop(y_true, proba))
    assert result["top5_accuracy"].value == pytest.approx(expected)


@given(problems())
def test_calibration_error_is_that_of_a_loop_over_15_bins(problem):
    y_true, proba, counts = problem
    # Off the ends of the bins, where the last bit of a float decides.
    proba = proba.astype(np.float64)
    blend = 0.9371
    proba = blend * proba + (1 - blend) / proba.shape[1]
    result = evaluate(y_true, proba, counts, n_replicates=0)
    assert result["expected_calibration_error"].value == pytest.approx(
        calibration_loop(y_true, proba)
    )


def test_five_equal_probabilities_before_the_true_class_make_a_top5_miss():
    proba = np.full((2, 6), 1 / 6)
    result = evaluate([5, 4], proba, [10] * 6, n_replicates=0)
    assert result["top5_accuracy"].value == 0.5
    assert result["all"].value == 0


def test_certain_and_right_predictions_are_calibrated():
    result = evaluate([0, 1], np.eye(2), [10, 10], n_replicates=0)
    assert result["expected_calibration_error"].value == 0


def test_certain_and_wrong_predictions_have_calibration_error_one():
    result = evaluate([1, 0], np.eye(2), [10, 10], n_replicates=0)
    assert result["expected_calibration_error"].value == 1
    assert result["harmonic_mean_recall"].value == 0


def test_calibration_gaps_of_one_bin_cancel_before_the_absolute_value():
    # Both in bin (0.8, 0.8667]: confidences 0.82 and 0.86, one hit of two.
    proba = np.array([[0.82, 0.18], [0.86, 0.14]])
    result = evaluate([0, 1], proba, [10, 10], n_replicates=0)
    assert result["expected_calibration_error"].value == pytest.approx(0.84 - 0.5)


def test_every_bin_is_one_fifteenth_wide_and_stands_alone():
    # One example in the middle of each bin, every other one right: neighbours that
    # shared a bin would cancel.
    n_classes = 40
    confidence = (np.arange(BINS) + 0.5) / BINS
    proba = np.repeat((1 - confidence) / (n_classes - 1), n_classes)
    proba = proba.reshape(BINS, n_classes)
    proba[:, 7] = confidence
    hit = np.arange(BINS) % 2
    result = evaluate(np.where(hit, 7, 3), proba, [10] * n_classes, n_replicates=0)
    assert result["expected_calibration_error"].value == pytest.approx(
        np.abs(confidence - hit).mean()
    )
