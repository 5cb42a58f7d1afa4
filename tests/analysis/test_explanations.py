import copy

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from headtail import (
    AlphaNetClassifier,
    CompositionalClassifier,
    CosineHead,
    LinearHead,
    NearestClassMeanClassifier,
)
from headtail.analysis import donations, explain, transfer_map

# 20 is few-shot by one convention alone.
COUNTS = np.array([3, 101, 17, 40, 5, 20, 11, 2, 19, 9, 100, 7])
LABELS = np.array([f"class {letter}" for letter in "abcdefghijkl"])
WEIGHT = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))


def drawn(counts, seed):
    rng = np.random.default_rng(seed)
    places = rng.permutation(np.repeat(np.arange(12), counts))
    centers = np.random.default_rng(1).normal(size=(12, 6))
    return centers[places] + 0.5 * rng.normal(size=(len(places), 6)), LABELS[places]


X, Y = drawn(COUNTS, 0)
X_TEST, Y_TEST = drawn(np.full(12, 3), 2)


@pytest.fixture(scope="module")
def compositional():
    return CompositionalClassifier(CosineHead(WEIGHT), donors=20).fit(X, Y)


@pytest.fixture(scope="module")
def alphanet():
    base = LinearHead(WEIGHT.double())
    clf = AlphaNetClassifier(base, n_neighbors=2, epochs=1, random_state=0)
    return clf.fit(X, Y, validation=(X, Y))


def mapped(explanation):
    return [str(one.label)[-1] for one in explanation.maps]


def test_it_holds_donations_and_maps(compositional):
    result = explain(compositional, X_TEST, Y_TEST, n_donors=3, n_maps=2)
    given = donations(compositional, 3)
    np.testing.assert_array_equal(result.donations.donors, given.donors)
    np.testing.assert_array_equal(result.donations.shares, given.shares)
    np.testing.assert_array_equal(result.donations.distances, given.distances)
    for one in result.maps:
        expected = transfer_map(compositional, X_TEST, Y_TEST, one.label)
        np.testing.assert_array_equal(one.coordinates, expected.coordinates)
        assert one.labels.tolist() == expected.labels.tolist()


def test_five_donors_and_six_maps_unless_asked_otherwise(compositional):
    assert len(explain(compositional, X_TEST, Y_TEST).maps) == 6
    every = copy.copy(compositional).set_params(donors=0).fit(X, Y)
    assert explain(every, X_TEST, Y_TEST).donations.donors.shape == (12, 5)


@pytest.mark.parametrize("convention", ["decoupling", "ckt"])
@pytest.mark.parametrize("n_maps", [0, 1, 2, 3, 4, 6, 7, 8, 20])
@pytest.mark.parametrize("missing", ["", "i", "iahl", "bdfk"])
def test_mapped_are_few_shot_classes_evenly_spaced(
    compositional, convention, n_maps, missing
):
    kept = ~np.isin(Y_TEST, [f"class {letter}" for letter in missing])
    result = explain(
        compositional,
        X_TEST[kept],
        Y_TEST[kept],
        convention=convention,
        n_maps=n_maps,
    )
    few = "figcjleah" if convention == "ckt" else "igcjleah"
    by_count = dict(zip("abcdefghijkl", COUNTS.tolist(), strict=True))
    few = sorted(set(few) - set(missing), key=lambda letter: -by_count[letter])
    n = min(n_maps, len(few))
    steps = [round(k * (len(few) - 1) / max(1, n - 1)) for k in range(n)]
    assert mapped(result) == [few[step] for step in steps]


def test_the_most_and_the_fewest_examples_are_among_them(compositional):
    assert mapped(explain(compositional, X_TEST, Y_TEST, n_maps=2)) == ["i", "h"]
    result = explain(compositional, X_TEST, Y_TEST, n_maps=2, convention="ckt")
    assert mapped(result) == ["f", "h"]


def test_equal_counts_keep_the_order_of_the_classes():
    X, y = np.repeat(np.eye(4) + 0.1, [30, 5, 9, 5], axis=0), [30, 5, 9, 5]
    y = np.repeat([0, 1, 2, 3], y)
    clf = CompositionalClassifier(CosineHead(torch.eye(4)), donors=20).fit(X, y)
    assert [one.label for one in explain(clf, X, y).maps] == [2, 1, 3]


def test_many_equal_counts_keep_the_order_of_the_classes():
    counts = np.r_[30, np.where(np.arange(40) % 3, 3, 2)]
    X, y = np.repeat(np.eye(41) + 0.1, counts, axis=0), np.repeat(range(41), counts)
    clf = CompositionalClassifier(CosineHead(torch.eye(41)), donors=20).fit(X, y)
    labels = [one.label for one in explain(clf, X, y, n_maps=40).maps]
    assert labels == sorted(range(1, 41), key=lambda c: -counts[c])


def test_without_a_few_shot_class_in_the_data_there_is_no_map(compositional):
    kept = np.isin(Y_TEST, LABELS[[1, 3, 5, 10]])
    result = explain(compositional, X_TEST[kept], Y_TEST[kept])
    assert result.maps == ()
    assert len(result.donations.receivers) == 12


def test_labels_that_nobody_knows_change_nothing(compositional):
    once = explain(compositional, X_TEST, Y_TEST)
    strange = np.r_[X_TEST, X_TEST[:1]], np.r_[Y_TEST, ["class z"]]
    assert mapped(explain(compositional, *strange)) == mapped(once)


def test_a_class_added_later_is_mapped(compositional):
    clf = copy.deepcopy(compositional).partial_fit(-X[:1], ["class z"])
    X_more, y_more = np.r_[X_TEST, -X[:1]], np.r_[Y_TEST, ["class z"]]
    assert mapped(explain(clf, X_more, y_more, n_maps=2)) == ["i", "z"]


def test_alphanet_has_donations_and_no_map(alphanet):
    result = explain(alphanet, X_TEST, Y_TEST, n_donors=1)
    assert result.maps == ()
    assert result.donations.receivers.tolist() == alphanet.few_classes_.tolist()
    assert result.donations.donors.shape == (8, 1)


def test_who_composes_nothing_has_no_explanation(compositional):
    assert explain(NearestClassMeanClassifier().fit(X, Y), X_TEST, Y_TEST) is None
    alone = copy.copy(compositional).set_params(donors="no-transfer").fit(X, Y)
    assert explain(alone, X_TEST, Y_TEST) is None


def test_tensors_and_maps_are_taken(tmp_path):
    places = np.searchsorted(LABELS, Y)
    clf = CompositionalClassifier(CosineHead(WEIGHT), donors=20).fit(X, places)
    wanted = np.searchsorted(LABELS, Y_TEST)
    once = explain(clf, X_TEST, wanted)
    np.save(tmp_path / "X.npy", X_TEST)
    mapped_file = np.load(tmp_path / "X.npy", mmap_mode="r")
    for given in [
        (torch.from_numpy(X_TEST), torch.from_numpy(wanted)),
        (mapped_file, wanted.tolist()),
    ]:
        again = explain(clf, *given)
        assert [one.label for one in again.maps] == [one.label for one in once.maps]
        for one, other in zip(once.maps, again.maps, strict=True):
            np.testing.assert_array_equal(one.coordinates, other.coordinates)


def test_what_does_not_fit_is_refused(compositional):
    with pytest.raises(ValueError, match=r"n must be at least 1; got 0\."):
        explain(compositional, X_TEST, Y_TEST, n_donors=0)
    with pytest.raises(NotFittedError, match="CompositionalClassifier"):
        explain(CompositionalClassifier(), X_TEST, Y_TEST)
