"""The compositional estimator: bases, members, classes, donors."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    EnsembleHead,
    LinearHead,
    class_prototypes,
    compose,
)


@pytest.fixture
def data():
    """Five classes of 150, 110, 60, 21 and 3 examples, 8 features, float32."""
    rng = np.random.default_rng(0)
    counts = [150, 110, 60, 21, 3]
    centers = rng.normal(size=(5, 8)) * 2
    y = np.repeat(np.arange(5), counts)
    X = (centers[y] + rng.normal(size=(len(y), 8))).astype(np.float32)
    return X, y


@pytest.fixture
def base():
    """A trained cosine head for the five classes, at scale 20."""
    weight = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    return CosineHead(weight, 20.0)


def expected_weight(base, data, threshold, counts=None):
    """Section 2 of METHODS.md from all examples at once."""
    X, y = (torch.from_numpy(part) for part in data)
    counts = torch.bincount(y) if counts is None else counts
    prototypes = class_prototypes(X, y, len(counts))
    return compose(prototypes, base.weight.detach(), counts > threshold)


def test_one_threshold_is_the_hybrid_classifier(base, data):
    clf = CompositionalClassifier(base, donors=20).fit(*data)
    assert isinstance(clf.head_, CosineHead)
    assert clf.donors_ == (20,)
    torch.testing.assert_close(
        clf.head_.weight.detach(), expected_weight(base, data, 20)
    )
    assert clf.head_.scale.item() == 20.0


def test_ensemble_is_the_mean_of_its_members_probabilities(base, data):
    X, _ = data
    proba = CompositionalClassifier(base, donors=(0, 20, 100)).fit(*data)
    members = [CompositionalClassifier(base, donors=k).fit(*data) for k in (0, 20, 100)]
    mean = np.mean([m.predict_proba(X) for m in members], axis=0)
    np.testing.assert_allclose(proba.predict_proba(X), mean, rtol=1e-5, atol=1e-7)
    assert isinstance(proba.head_, EnsembleHead)


def test_an_ensemble_of_one_has_that_members_probabilities(base, data):
    alone = CompositionalClassifier(base, donors=20).fit(*data).predict_proba(data[0])
    listed = CompositionalClassifier(base, donors=[20]).fit(*data)
    np.testing.assert_array_equal(listed.predict_proba(data[0]), alone)


def test_prototypes_and_no_transfer_are_members(base, data):
    X, y = (torch.from_numpy(part) for part in data)
    prototypes = torch.nn.functional.normalize(class_prototypes(X, y, 5)).float()
    clf = CompositionalClassifier(base, donors="prototypes").fit(*data)
    torch.testing.assert_close(clf.head_.weight.detach(), prototypes)
    both = CompositionalClassifier(base, donors="no-transfer").fit(*data)
    unit = torch.nn.functional.normalize(base.weight.detach())
    torch.testing.assert_close(both.head_.weight.detach(), prototypes + unit)
    mixed = CompositionalClassifier(base, donors=("prototypes", 20)).fit(*data)
    assert mixed.donors_ == ("prototypes", 20)


@pytest.mark.parametrize(
    ("counts", "members"),
    [([101, 21], (0, 20, 100)), ([100, 21], (0, 20)), ([20, 1], (0,)), ([1, 1], (0,))],
)
def test_shots_drop_thresholds_that_no_class_exceeds(counts, members):
    y = np.repeat([0, 1], counts)
    X = np.eye(2)[y]
    clf = CompositionalClassifier(CosineHead(torch.eye(2))).fit(X, y)
    assert clf.donors_ == members


def test_an_explicit_threshold_without_donor_is_an_error(base, data):
    with pytest.raises(
        ValueError, match=r"got 150, the largest has 150.*0 to 149 work"
    ):
        CompositionalClassifier(base, donors=(0, 150)).fit(*data)


@pytest.mark.parametrize(
    ("donors", "error", "message"),
    [
        ("heads", ValueError, "'prototypes' or 'no-transfer'; got 'heads'"),
        ((), ValueError, "at least one member; got none"),
        ((0, True), ValueError, "got True"),
        ((0, 1.5), ValueError, "got 1.5"),
        (-1, ValueError, "got -1"),
        (None, TypeError, "got None"),
    ],
)
def test_refuses_other_donors(base, data, donors, error, message):
    with pytest.raises(error, match=message):
        CompositionalClassifier(base, donors=donors).fit(*data)


def test_a_base_that_cannot_be_used_is_refused_before_anything_is_fitted(data, base):
    with pytest.raises(TypeError, match="got LogisticRegression"):
        CompositionalClassifier(LogisticRegression()).fit(*data)
    with pytest.raises(TypeError, match="got EnsembleHead"):
        CompositionalClassifier(EnsembleHead([base])).fit(*data)
    scaled = LinearHead(torch.eye(5, 8), normalize=True)
    with pytest.raises(TypeError, match=r"LinearHead without normalize.*got LinearH"):
        CompositionalClassifier(scaled).fit(*data)
    with pytest.raises(ValueError, match="must take the 8 features of X; it takes 3"):
        CompositionalClassifier(CosineHead(torch.ones(5, 3))).fit(*data)
    with pytest.raises(ValueError, match="4 rows, y has 5 distinct labels"):
        CompositionalClassifier(CosineHead(torch.eye(4, 8))).fit(*data)


def test_a_linear_base_gives_up_its_bias_and_gets_scale_16(data):
    layer = torch.nn.Linear(8, 5)
    before = layer.weight.detach().clone()
    from_layer = CompositionalClassifier(layer, donors=20).fit(*data)
    from_head = CompositionalClassifier(
        LinearHead(layer.weight, torch.full((5,), 99.0)), donors=20
    ).fit(*data)
    expected = expected_weight(CosineHead(layer.weight), data, 20)
    torch.testing.assert_close(from_layer.head_.weight.detach(), expected)
    torch.testing.assert_close(from_head.head_.weight.detach(), expected)
    assert from_layer.head_.scale.item() == 16.0
    assert layer.weight.equal(before)
    scaled = CompositionalClassifier(layer, donors=20, scale=5).fit(*data)
    assert scaled.head_.scale.item() == 5.0


def test_the_centre_of_a_linear_base_is_a_bias_that_is_given_up(data, base):
    heads = [
        LinearHead(base.weight, torch.ones(5), center=center)
        for center in (None, torch.full((8,), 99.0))
    ]
    plain, moved = (CompositionalClassifier(head).fit(*data) for head in heads)
    assert moved.base_head_.weight.equal(plain.base_head_.weight)
    np.testing.assert_array_equal(
        moved.predict_proba(data[0]), plain.predict_proba(data[0])
    )


def test_an_estimator_is_cloned_and_its_fitted_head_is_not_used(data):
    base = CosineClassifier(epochs=1, random_state=3).fit(*data)
    head = base.head_
    other = (data[0][::-1].copy(), data[1])
    clf = CompositionalClassifier(base, donors=0).fit(*other)
    assert base.head_ is head
    refitted = CosineClassifier(epochs=1, random_state=3).fit(*other).head_
    assert clf.base_head_.weight.equal(refitted.weight)


def test_the_default_base_is_the_cosine_classifier_with_the_same_seed(data):
    clf = CompositionalClassifier(random_state=5).fit(*data)
    base = CosineClassifier(sampling="sqrt", random_state=5).fit(*data)
    assert clf.base_head_.weight.equal(base.head_.weight)
    assert clf.head_.members[0].scale.item() == base.head_.scale.item()


def test_rows_match_labels_by_value_where_the_head_has_classes(base, data):
    X, y = data
    names = np.array(["a", "b", "c", "d", "e"])
    order = [3, 0, 4, 1, 2]
    shuffled = CosineHead(
        base.weight[torch.tensor(order)], base.scale, classes=names[order]
    )
    by_value = CompositionalClassifier(shuffled, donors=20).fit(X, names[y])
    by_order = CompositionalClassifier(base, donors=20).fit(X, names[y])
    torch.testing.assert_close(by_value.head_.weight, by_order.head_.weight)


def test_a_class_of_the_head_without_example_is_an_error(base, data):
    X, y = data
    head = CosineHead(base.weight, classes=[0, 1, 2, 3, 9])
    with pytest.raises(ValueError, match=r"must have an example in y; \[9\]"):
        CompositionalClassifier(head).fit(X, y)
    text = CosineHead(base.weight, classes=["0", "1", "2", "3", "4"])
    with pytest.raises(ValueError, match="'0', '1', '2', '3', '4'"):
        CompositionalClassifier(text).fit(X, y)


def test_a_class_without_row_uses_the_continual_classifier(base, data):
    X, y = data
    head = CosineHead(base.weight[:4], classes=[0, 1, 2, 3])
    clf = CompositionalClassifier(head, donors=0).fit(X, y)
    assert clf.trained_counts_.tolist() == [150, 110, 60, 21, 0]
    full = torch.cat([head.weight.detach(), torch.zeros(1, 8)])
    expected = compose(
        class_prototypes(torch.from_numpy(X), torch.from_numpy(y), 5),
        full,
        torch.tensor([True] * 4 + [False]),
        trained=torch.tensor([True] * 4 + [False]),
    )
    torch.testing.assert_close(clf.head_.weight.detach(), expected)


def test_the_head_works_on_raw_features_in_a_network(base, data):
    clf = CompositionalClassifier(base).fit(*data)
    X = torch.from_numpy(data[0])
    network = torch.nn.Sequential(torch.nn.Identity(), clf.head_)
    best = clf.classes_[network(X).argmax(dim=1).numpy()]
    np.testing.assert_array_equal(best, clf.predict(data[0]))


def test_tensors_give_what_arrays_give(base, data):
    X, y = data
    from_arrays = CompositionalClassifier(base).fit(X, y)
    from_tensors = CompositionalClassifier(base).fit(
        torch.from_numpy(X), torch.from_numpy(y)
    )
    ours = from_tensors.predict_proba(torch.from_numpy(X))
    assert isinstance(ours, np.ndarray)
    np.testing.assert_array_equal(ours, from_arrays.predict_proba(X))


def test_zero_rows_are_allowed_but_not_a_class_of_them(base, data):
    X, y = data
    X = X.copy()
    X[0] = 0
    clf = CompositionalClassifier(base).fit(X, y)
    uniform = clf.predict_proba(np.zeros((1, 8)))
    np.testing.assert_allclose(uniform, np.full((1, 5), 0.2), rtol=1e-6)
    X[y == 4] = 0
    with pytest.raises(ValueError, match=r"classes \[4\] are zero"):
        CompositionalClassifier(base).fit(X, y)
