"""The count-aware estimator: its space, its weights, its head, what it is for."""

import numpy as np
import pytest
import torch

from headtail import EnsembleHead, LinearClassifier, LinearHead, WhitenedHead
from headtail.methods._generator import new_generator
from headtail.methods.transfer import count_aware_transfer
from headtail.methods.transfer._balanced_training import train_balanced
from headtail.methods.transfer._mixture_search import MEMORISED, UNKNOWN
from headtail.statistics import oas_shrinkage
from tests.methods.transfer.count_aware import (
    LABELS,
    classifier,
    drawn,
    rebuilt_logits,
    rows_of_length_one,
)

MEMBERS = pytest.mark.parametrize("members", ["linear", "composed", "both"])
COEFFICIENTS = [
    {},
    {"prior": 0.5, "transfer": 1.0, "prototype": 0.0, "half_count": 5.0},
    {"prior": -0.25, "prototype": 1.0, "half_count": 1e6, "temperature": 30.0},
    {"transfer": 1.0, "donors": 0},
]


@MEMBERS
@pytest.mark.parametrize("coefficients", COEFFICIENTS, ids=str)
def test_the_head_is_what_the_attributes_say(
    five_classes, held_out, mixed, members, coefficients
):
    clf = mixed(members=members, **coefficients)
    ours = clf.decision_function(held_out)
    expected = rebuilt_logits(clf, held_out, *five_classes)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)


def test_the_space_is_that_of_the_covariance_within_classes(five_classes, fitted_once):
    X, y = rows_of_length_one(five_classes[0]), five_classes[1]
    means = np.array([X[y == label].mean(axis=0) for label in LABELS])
    np.testing.assert_allclose(fitted_once.center_, means.mean(axis=0), rtol=1e-12)
    apart = X - means[np.searchsorted(LABELS, y)]
    covariance = sum(np.outer(row, row) for row in apart) / (len(X) - len(LABELS))
    for shrinkage in (0.0, 0.3, 0.8, 1.0):
        map = classifier(shrinkage=shrinkage).fit(*five_classes).map_
        variance = np.trace(covariance) / 8
        shrunk = (1 - shrinkage) * covariance + shrinkage * variance * np.eye(8)
        np.testing.assert_allclose(map @ shrunk @ map, np.eye(8), atol=1e-9)
        np.testing.assert_allclose(map, map.T, atol=1e-12)
    # Whatever shrinks all the way does not whiten.
    np.testing.assert_allclose(map, np.eye(8) * map[0, 0], atol=1e-9)
    freedom = len(X) - len(LABELS)
    amount = oas_shrinkage(torch.from_numpy(covariance), freedom)
    assert 0 < amount < 1
    own, auto = (
        classifier(shrinkage=shrinkage).fit(*five_classes).map_
        for shrinkage in (amount, "auto")
    )
    np.testing.assert_allclose(auto, own, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_weights_are_trained_on_all_whitened_directions(
    five_classes, choose_always, noise
):
    choose_always(noise=noise)
    clf = classifier(random_state=3).fit(*five_classes)
    X = rows_of_length_one(five_classes[0])
    y = np.searchsorted(LABELS, five_classes[1])
    means = np.array([X[y == c].mean(axis=0) for c in range(5)])
    directions, prototypes = (
        torch.from_numpy(rows_of_length_one((rows - clf.center_) @ clf.map_))
        for rows in (X, means)
    )
    weight, bias = train_balanced(
        lambda rows: directions[rows],
        torch.from_numpy(y),
        torch.arange(len(y)),
        prototypes,
        new_generator(3),
        noise=noise,
    )
    np.testing.assert_allclose(clf.weight_, weight.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(clf.bias_, bias.numpy(), rtol=1e-5, atol=1e-5)


def test_the_search_gets_directions_and_prototypes_of_what_is_kept(
    five_classes, monkeypatch
):
    got = []

    def choosing(directions, positions, prototypes_of, classes, **options):
        kept = torch.arange(len(positions)) % 3 != 0
        got.append((directions(torch.tensor([5, 0])), prototypes_of(kept)))
        return UNKNOWN, None

    monkeypatch.setattr(count_aware_transfer, "choose_mixture", choosing)
    X, y = rows_of_length_one(five_classes[0]), five_classes[1]
    kept = np.arange(len(y)) % 3 != 0
    means = np.array([X[kept & (y == label)].mean(axis=0) for label in LABELS])
    for step in (10**6, 7):
        monkeypatch.setattr(
            count_aware_transfer,
            "row_blocks",
            lambda n_rows, _, step=step: (
                slice(i, i + step) for i in range(0, n_rows, step)
            ),
        )
        clf = classifier().fit(*five_classes)
        for rows, ours in zip((X[[5, 0]], means), got.pop(), strict=True):
            expected = rows_of_length_one((rows - clf.center_) @ clf.map_)
            np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9, atol=1e-12)


@MEMBERS
def test_the_head_is_of_the_mixture_that_was_chosen(
    five_classes, held_out, choose_always, members
):
    choose_always(members=members, prior=0.5)
    clf = classifier().fit(*five_classes)
    assert clf.mixture_ == UNKNOWN._replace(members=members, prior=0.5)._asdict()
    ours = clf.decision_function(held_out)
    expected = rebuilt_logits(clf, held_out, *five_classes)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)
    assert isinstance(clf.head_, WhitenedHead)
    inner = EnsembleHead if members == "both" else LinearHead
    assert isinstance(clf.head_.head, inner)
    assert clf.head_.classes.tolist() == LABELS.tolist()


def test_the_head_works_on_raw_features_in_a_network(
    five_classes, held_out, fitted_once
):
    network = torch.nn.Sequential(torch.nn.Identity(), fitted_once.head_)
    best = network(torch.from_numpy(held_out)).argmax(dim=1).numpy()
    predicted = fitted_once.predict(held_out)
    assert LABELS[best].tolist() == predicted.tolist()
    assert (predicted == np.repeat(LABELS, 10)).mean() > 0.9


def test_fitted_attributes_are_in_the_order_of_classes(fitted_once):
    assert fitted_once.classes_.tolist() == LABELS.tolist()
    assert fitted_once.class_counts_.tolist() == [60, 30, 22, 8, 2]
    assert fitted_once.trained_counts_.tolist() == [60, 30, 22, 8, 2]
    assert fitted_once.n_features_in_ == 8
    assert fitted_once.weight_.shape == (5, 8)
    assert fitted_once.bias_.shape == (5,)


def test_the_chosen_mixture_is_that_of_the_record(searched):
    assert dict(searched.selection_.best) == searched.mixture_
    assert searched.selection_.data.startswith("1 simulated tail(s), 2 cut class(es)")
    # Only classes of at least 20 examples are held back.
    assert searched.selection_.missing_classes.tolist() == [7, 8, 9]


def test_the_head_of_a_search_is_what_the_attributes_say(searched, long_tail):
    ours = searched.decision_function(long_tail[0])
    expected = rebuilt_logits(searched, long_tail[0], *long_tail)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-6)


def test_tails_that_are_too_easy_to_tell_lead_to_the_safe_mixture(one_tail):
    y = np.repeat(np.arange(8), [60] * 6 + [5, 5])
    X = 9 * np.eye(8)[y] + np.random.default_rng(0).normal(size=(len(y), 8))
    clf = classifier().fit(X, y)
    assert clf.mixture_ == MEMORISED._replace(donors=20)._asdict()
    assert "too easy" in clf.selection_.data
    assert (clf.predict(X) == y).mean() > 0.99


def test_the_head_may_lose_what_the_parameter_says(long_tail, one_tail, monkeypatch):
    asked, whole = [], count_aware_transfer.choose_mixture

    def choosing(*parts, max_head_loss, generator):
        asked.append(max_head_loss)
        return whole(*parts, max_head_loss=max_head_loss, generator=generator)

    monkeypatch.setattr(count_aware_transfer, "choose_mixture", choosing)
    careful, free = (
        classifier(max_head_loss=loss).fit(*long_tail) for loss in (0, 1.0)
    )
    assert asked == [0, 1.0]
    assert free.selection_.scores.max() == free.selection_.facts()["score"]
    assert careful.selection_.facts()["score"] <= free.selection_.facts()["score"]


@pytest.mark.parametrize(
    ("counts", "donors"),
    [
        ([100, 60, 10, 2], 20),
        ([50, 40, 30, 2], 20),
        ([50, 20, 19, 2], 0),
        ([19, 9, 3], 0),
        ([1, 1, 1, 1], 0),
        ([30, 1], 0),
        ([1, 1], 0),
    ],
)
def test_where_no_tail_can_be_simulated_the_mixture_is_the_unknown_one(counts, donors):
    y = np.repeat(LABELS[: len(counts)], counts)
    clf = classifier().fit(drawn(y, 0), y)
    assert clf.selection_ is None
    assert clf.mixture_ == UNKNOWN._replace(donors=donors)._asdict()
    assert np.isfinite(clf.predict_proba(drawn(LABELS, 1))).all()


def test_is_better_on_a_long_tail_than_plain_training(one_tail):
    gains = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        counts = np.geomspace(120, 2, 40).astype(int)
        y, y_test = np.repeat(np.arange(40), counts), np.repeat(np.arange(40), 20)
        centers = rng.normal(size=(40, 16))
        X, test = (centers[c] + rng.normal(size=(len(c), 16)) for c in (y, y_test))
        ours, plain = (
            clf.fit(X, y).predict(test) == y_test
            for clf in (classifier(), LinearClassifier(random_state=0))
        )
        few = counts[y_test] < 20
        apart = ours.astype(float) - plain
        gains.append((apart.mean(), apart[few].mean()))
    overall, few = np.mean(gains, axis=0)
    assert overall > 0.04
    assert few > 0.1
