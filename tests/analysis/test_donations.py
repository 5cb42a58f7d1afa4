import copy
import importlib
import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from headtail import (
    AlphaNetClassifier,
    CompositionalClassifier,
    CosineHead,
    CountAwareTransferClassifier,
    LinearHead,
    MetaModelNetClassifier,
    NearestClassMeanClassifier,
)
from headtail.analysis import donations
from tests.analysis.composers import COUNTS, LABELS, WEIGHT, X, Y, compositional

ATTENTIONS = [
    "prototype-to-weight",
    "weight-to-prototype",
    "weight-to-weight",
    "prototype-to-prototype",
]


@pytest.fixture(scope="module")
def alphanet():
    base = LinearHead(WEIGHT.double(), classes=LABELS)
    clf = AlphaNetClassifier(base, n_neighbors=3, epochs=2, random_state=0)
    return clf.fit(X, Y, validation=(X, Y))


def unit(vector):
    return np.asarray(vector, float) / np.linalg.norm(vector)


def means_of_directions(X, y, classes):
    return [np.mean([unit(x) for x in X[y == label]], axis=0) for label in classes]


def softmax_shares(query, keys, givers, temperature):
    """Return every class's share in one answer; 0 for who does not give."""
    powers = [
        math.exp(temperature * float(np.dot(query, key))) if gives else 0.0
        for key, gives in zip(keys, givers, strict=True)
    ]
    return [power / sum(powers) for power in powers]


def strongest(shares, n):
    return [sorted(range(len(row)), key=lambda j: -row[j])[:n] for row in shares]


def nearest(prototypes, givers):
    return [
        min(
            math.dist(own, other)
            for j, other in enumerate(prototypes)
            if givers[j] and j != i
        )
        for i, own in enumerate(prototypes)
    ]


def assert_are(found, shares, n):
    order = strongest(shares, n)
    assert found.donors.tolist() == order
    expected = [[row[j] for j in best] for row, best in zip(shares, order, strict=True)]
    np.testing.assert_allclose(found.shares, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("donors", "least"), [(0, 1), (20, 21), (19, 20), (100, 101)])
def test_shares_of_knowledge_transfer_are_a_softmax_of_cosines(
    attention, donors, least
):
    clf = compositional(donors=donors, attention=attention, temperature=3.0)
    prototypes = [unit(mean) for mean in means_of_directions(X, Y, LABELS)]
    weight = [unit(row) for row in WEIGHT.numpy()]
    asking, giving = attention.split("-to-")
    queries, keys = (
        prototypes if role == "prototype" else weight for role in (asking, giving)
    )
    givers = [count >= least for count in COUNTS]
    shares = [softmax_shares(query, keys, givers, 3.0) for query in queries]
    n = min(2, sum(givers))
    found = donations(clf, n=2)
    assert_are(found, shares, n)
    assert found.receivers.tolist() == list(range(6))
    assert found.classes.tolist() == LABELS.tolist()
    if sum(givers) > 1:
        np.testing.assert_allclose(
            found.distances, nearest(prototypes, givers), rtol=1e-5
        )


@pytest.mark.parametrize(
    ("donors", "least"),
    [
        ("shots", 1),
        ((100, 20), 21),
        ((20, "prototypes", 0, "no-transfer"), 1),
        (("no-transfer", 20), 21),
    ],
)
def test_shares_of_an_ensemble_are_means_over_its_members_that_transfer(donors, least):
    clf = compositional(donors=donors)
    parts = [
        shares
        for shares, member in zip(clf.attention_, clf.donors_, strict=True)
        if not isinstance(member, str)
    ]
    mean = np.mean(parts, axis=0)
    found = donations(clf, n=2)
    assert_are(found, mean.tolist(), 2)
    prototypes = [unit(mean) for mean in means_of_directions(X, Y, LABELS)]
    givers = [count >= least for count in COUNTS]
    np.testing.assert_allclose(found.distances, nearest(prototypes, givers), rtol=1e-5)


def test_five_donors_unless_asked_otherwise():
    assert donations(compositional(donors=0)).donors.shape == (6, 5)


@pytest.mark.parametrize("donors", [0, 20, "shots", (20, "prototypes")])
def test_shares_of_all_donors_sum_to_one(donors):
    found = donations(compositional(donors=donors), n=99)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(found.shares, axis=1) <= 0).all()
    if donors == 20:
        assert {tuple(sorted(row)) for row in found.donors.tolist()} == {(0, 2, 5)}


def test_a_donor_whose_share_vanishes_is_still_a_donor():
    """In float32 all but one share are 0, as are those of the other classes."""
    found = donations(compositional(donors=20, temperature=5000.0), n=3)
    assert (found.shares[:, 2] == 0).all()
    assert {tuple(sorted(row)) for row in found.donors.tolist()} == {(0, 2, 5)}


def test_renamed_classes_give_as_before():
    names = dict(zip(LABELS, ["r", "d", "z", "a", "q", "k"], strict=True))
    classes = np.array([names[label] for label in LABELS])
    y = np.array([names[label] for label in Y])
    once = donations(compositional(donors=0), n=3)
    base = CosineHead(WEIGHT, classes=classes)
    again = donations(CompositionalClassifier(base, donors=0).fit(X, y), n=3)
    order = np.argsort(classes)
    assert again.classes.tolist() == classes[order].tolist()
    assert again.classes[again.donors].tolist() == classes[once.donors][order].tolist()
    np.testing.assert_allclose(again.shares, once.shares[order], rtol=1e-5)
    np.testing.assert_allclose(again.distances, once.distances[order], rtol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_class_without_a_trained_weight_asks_with_its_prototype(attention):
    clf = compositional(donors=0, attention=attention)
    new = np.array([[3.0, -1.0, 0.5, 2.0, -2.0], [2.0, -1.0, 1.0, 2.0, -1.0]])
    clf.partial_fit(new, ["bee", "bee"])
    found = donations(clf, n=9)
    assert found.classes.tolist() == [*LABELS, "bee"]
    assert found.donors.shape == (7, 6)
    assert not (found.donors == 6).any()
    prototypes = [unit(mean) for mean in means_of_directions(X, Y, LABELS)]
    prototypes.append(unit(unit(new[0]) + unit(new[1])))
    weight = [unit(row) for row in WEIGHT.numpy()]
    keys = prototypes[:6] if attention.endswith("prototype") else weight
    shares = softmax_shares(prototypes[6], keys, [True] * 6, 10.0)
    assert found.donors[6].tolist() == strongest([shares], 6)[0]
    np.testing.assert_allclose(found.shares[6], sorted(shares)[::-1], rtol=1e-4)
    assert found.distances[6] == pytest.approx(
        min(math.dist(prototypes[6], other) for other in prototypes[:6]), rel=1e-5
    )


def test_the_only_donor_has_no_other_and_no_distance():
    found = donations(compositional(donors=100))
    assert found.donors.tolist() == [[0]] * 6
    assert np.isnan(found.distances).tolist() == [True] + [False] * 5


@pytest.mark.parametrize("members", ["composed", "both"])
@pytest.mark.parametrize(("donors", "least"), [(0, 1), (20, 21), (19, 20)])
def test_shares_of_count_aware_transfer_are_a_softmax_of_whitened_cosines(
    count_aware, members, donors, least
):
    clf = count_aware(members=members, donors=donors, temperature=4.0, transfer=0.5)
    means = means_of_directions(X, Y, LABELS)
    prototypes = [unit((mean - clf.center_) @ clf.map_) for mean in means]
    weight = [unit(row) for row in clf.weight_]
    givers = [count >= least for count in COUNTS]
    shares = [softmax_shares(query, weight, givers, 4.0) for query in prototypes]
    found = donations(clf, n=3)
    assert_are(found, shares, 3)
    np.testing.assert_allclose(found.distances, nearest(prototypes, givers), rtol=1e-4)
    assert found.receivers.tolist() == list(range(6))


@pytest.mark.parametrize(
    "coefficients", [{"members": "linear"}, {"transfer": 0.0, "members": "both"}]
)
def test_a_mixture_that_takes_nothing_has_no_donations(count_aware, coefficients):
    clf = count_aware(**coefficients)
    assert donations(clf) is None
    # A class added later takes nonetheless, and it alone.
    clf.partial_fit(X[:1], ["bee"])
    assert clf.classes_[6] == "bee"
    found = donations(clf, n=9)
    assert found.receivers.tolist() == [6]
    (donors,) = found.donors
    assert sorted(donors.tolist()) == [0, 2, 5]
    assert found.shares.shape == (1, 3)
    assert np.isfinite(found.distances).all()


def test_an_added_class_takes_by_its_whitened_prototype(count_aware):
    clf = count_aware(donors=0, members="composed")
    clf.partial_fit(X[:1], ["bee"])
    found = donations(clf, n=9)
    assert found.donors.shape == (7, 6)
    assert not (found.donors == 6).any()
    query = unit((unit(X[0]) - clf.center_) @ clf.map_)
    weight = [unit(row) for row in clf.weight_[:6]]
    shares = softmax_shares(query, weight, [True] * 6, clf.mixture_["temperature"])
    assert found.donors[6].tolist() == strongest([shares], 6)[0]
    np.testing.assert_allclose(found.shares[6], sorted(shares)[::-1], rtol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_shares_of_alphanet_are_coefficients_by_their_size(alphanet, n):
    clf = copy.deepcopy(alphanet)
    clf.coefficients_ = np.array(
        [[9.0, 0.1, -0.7, 0.2], [-5.0, -0.3, 0.3, 0.4]], np.float32
    )
    clf.neighbors_ = np.array([[0, 2, 5], [4, 0, 2]])
    found = donations(clf, n)
    assert found.receivers.tolist() == [1, 3]
    assert found.donors.tolist() == [[2, 5, 0][:n], [2, 4, 0][:n]]
    np.testing.assert_allclose(
        found.shares, [[-0.7, 0.2, 0.1][:n], [0.4, -0.3, 0.3][:n]], rtol=1e-6
    )
    assert found.shares.dtype == np.float64


def test_equal_coefficients_keep_the_order_of_the_neighbours(alphanet):
    clf = copy.deepcopy(alphanet)
    sizes = np.where(np.arange(41) % 3, 0.5, -0.25)
    clf.coefficients_ = np.stack([sizes, -sizes])
    clf.neighbors_ = np.tile(np.arange(40), (2, 1))
    large, small = (
        [j for j in range(40) if abs(sizes[j + 1]) == a] for a in (0.5, 0.25)
    )
    assert donations(clf, n=40).donors.tolist() == [large + small] * 2


def test_distances_of_alphanet_are_between_mean_features(alphanet):
    found = donations(alphanet, n=2)
    means = {label: X[label == Y].mean(axis=0) for label in LABELS}
    expected = [
        min(math.dist(means[few], means[base]) for base in ("ant", "elk", "owl", "yak"))
        for few in ("cat", "fox")
    ]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-5)
    pairs = zip(alphanet.neighbors_, alphanet.coefficients_, strict=True)
    for row, (neighbors, (_, *given)) in enumerate(pairs):
        best = sorted(range(3), key=lambda j: -abs(given[j]))[:2]
        assert found.donors[row].tolist() == neighbors[best].tolist()
        assert found.shares[row].tolist() == [float(given[j]) for j in best]


def test_alphanet_without_a_few_shot_class_has_no_receiver():
    many = np.isin(Y, ["ant", "elk", "yak"])
    base = LinearHead(WEIGHT[[0, 2, 5]].double(), classes=LABELS[[0, 2, 5]])
    clf = AlphaNetClassifier(base, epochs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is no few-shot class")
        clf.fit(X[many], Y[many])
    found = donations(clf)
    assert found.receivers.shape == found.distances.shape == (0,)
    assert len(found.donors) == len(found.shares) == 0


@pytest.mark.parametrize("donors", ["prototypes", ("no-transfer", "prototypes")])
def test_members_without_transfer_take_nothing(donors):
    assert donations(compositional(donors=donors)) is None


def test_who_composes_nothing_has_no_donations():
    assert donations(NearestClassMeanClassifier().fit(X, Y)) is None


def test_classifiers_are_left_as_they_are():
    clf = compositional()
    before = {k: v.clone() for k, v in clf.head_.state_dict().items()}
    donations(clf)
    torch.testing.assert_close(clf.head_.state_dict(), before)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("donors", [0, "shots"])
def test_blocks_of_classes_give_what_one_block_gives(monkeypatch, donors):
    clf = compositional(donors=donors)
    once = donations(clf, n=3)

    def two_rows(n_rows, row_size):
        return (slice(i, min(i + 2, n_rows)) for i in range(0, n_rows, 2))

    # The function hides the module of its name.
    for name in ("donations", "_composed"):
        module = importlib.import_module(f"headtail.analysis.{name}")
        monkeypatch.setattr(module, "row_blocks", two_rows)
    again = donations(clf, n=3)
    np.testing.assert_array_equal(once.donors, again.donors)
    np.testing.assert_allclose(once.shares, again.shares, rtol=1e-5)
    np.testing.assert_allclose(once.distances, again.distances)


def test_fitted_to_read_only_maps_it_is_the_same(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    clf = CompositionalClassifier(CosineHead(WEIGHT)).fit(mapped, Y)
    once = donations(compositional())
    np.testing.assert_array_equal(donations(clf).shares, once.shares)


@pytest.mark.parametrize(
    "unfitted",
    [
        CompositionalClassifier(),
        CountAwareTransferClassifier(),
        AlphaNetClassifier(),
    ],
    ids=lambda clf: type(clf).__name__,
)
def test_an_unfitted_classifier_is_refused(unfitted):
    with pytest.raises(NotFittedError, match=type(unfitted).__name__):
        donations(unfitted)


def test_at_least_one_donor_is_asked_for():
    with pytest.raises(ValueError, match=r"n must be at least 1; got 0\."):
        donations(compositional(), n=0)


def test_what_composes_nothing_is_not_looked_into():
    """A user's estimator may keep what it learned where nobody looks."""

    class Mine(ClassifierMixin, BaseEstimator):
        pass

    assert donations(Mine()) is None
    assert donations(MetaModelNetClassifier()) is None
