"""Adding examples and classes without training, and who gave to whom."""

import numpy as np
import pytest
import torch

from headtail import (
    CompositionalClassifier,
    CosineHead,
    class_prototypes,
    compose,
    load_classifier,
)


@pytest.fixture
def data():
    """Four classes of 60, 30, 25 and 5 examples, 6 features."""
    rng = np.random.default_rng(0)
    y = np.repeat([10, 20, 30, 40], [60, 30, 25, 5])
    return rng.normal(size=(120, 6)) + y[:, None] / 10 * rng.normal(size=6), y


@pytest.fixture
def base():
    """A trained head for the four classes."""
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    return CosineHead(weight.double(), 12.0, classes=[10, 20, 30, 40])


def new_classes():
    rng = np.random.default_rng(9)
    y = np.array([15] * 40 + [5] * 3)
    return rng.normal(size=(43, 6)), y


def at_once(base, X, y, classes, trained_counts, threshold):
    """Section 2 of METHODS.md, computed from all examples."""
    positions = np.array([list(classes).index(label) for label in y])
    trained = torch.tensor([count > 0 for count in trained_counts])
    weight = torch.zeros(len(classes), 6, dtype=torch.float64)
    weight[trained] = base.weight.detach()
    return compose(
        class_prototypes(
            torch.from_numpy(X), torch.from_numpy(positions), len(classes)
        ),
        weight,
        torch.tensor(trained_counts) > threshold,
        trained=trained,
    )


def test_new_classes_come_last_and_equal_computing_everything_at_once(base, data):
    (X, y), (X_new, y_new) = data, new_classes()
    clf = CompositionalClassifier(base, donors=20).fit(X, y)
    clf.partial_fit(X_new, y_new)
    assert clf.classes_.tolist() == [10, 20, 30, 40, 5, 15]
    assert clf.class_counts_.tolist() == [60, 30, 25, 5, 3, 40]
    # 15 has 40 examples, more than 20, but no trained weight: it gives nothing.
    assert clf.trained_counts_.tolist() == [60, 30, 25, 5, 0, 0]
    expected = at_once(
        base,
        np.concatenate([X, X_new]),
        np.concatenate([y, y_new]),
        clf.classes_,
        clf.trained_counts_,
        20,
    )
    torch.testing.assert_close(clf.head_.weight.detach(), expected)


def test_the_order_of_batches_changes_nothing_but_the_order_of_classes(base, data):
    X_new, y_new = new_classes()
    once = CompositionalClassifier(base).fit(*data).partial_fit(X_new, y_new)
    bits = CompositionalClassifier(base).fit(*data)
    for part in np.array_split(np.random.default_rng(2).permutation(43), 7):
        bits.partial_fit(X_new[part], y_new[part])
    order = [bits.classes_.tolist().index(label) for label in once.classes_]
    test = np.random.default_rng(3).normal(size=(20, 6))
    np.testing.assert_allclose(
        bits.predict_proba(test)[:, order], once.predict_proba(test), rtol=1e-9
    )


def test_more_examples_of_a_known_class_move_no_donor(base, data):
    rng = np.random.default_rng(4)
    clf = CompositionalClassifier(base, donors=20).fit(*data)
    clf.partial_fit(rng.normal(size=(100, 6)), np.full(100, 40))
    assert clf.class_counts_.tolist() == [60, 30, 25, 105]
    assert clf.trained_counts_.tolist() == [60, 30, 25, 5]
    assert (clf.attention_[0][:, 3] == 0).all()


def test_on_an_unfitted_estimator_partial_fit_is_fit(base, data):
    fitted = CompositionalClassifier(base).fit(*data)
    partial = CompositionalClassifier(base).partial_fit(*data, classes=[10, 20, 30, 40])
    np.testing.assert_array_equal(
        partial.predict_proba(data[0]), fitted.predict_proba(data[0])
    )


def test_a_batch_may_hold_one_class_and_one_example(base, data):
    clf = CompositionalClassifier(base).fit(*data)
    clf.partial_fit(np.ones((1, 6)), [99])
    assert clf.classes_.tolist() == [10, 20, 30, 40, 99]
    assert clf.predict(np.ones((1, 6))).tolist() == [99]


@pytest.mark.parametrize(
    ("X", "y", "classes", "message"),
    [
        (np.full((1, 6), np.nan), [99], None, r"1 rows hold NaN or inf \(rows \[0\]\)"),
        (np.zeros((2, 6)), [99, 99], None, r"classes \[99\] are zero"),
        (np.ones((1, 5)), [99], None, "X has 5 features, but .* is expecting 6"),
        (np.ones((1, 6)), ["lynx"], None, "of the kind of the known ones"),
        (np.ones((1, 6)), [99], [10, 20], r"only labels from classes; got \[99\]"),
    ],
)
def test_a_refused_batch_changes_nothing(base, data, X, y, classes, message):
    clf = CompositionalClassifier(base).fit(*data)
    before = clf.predict_proba(data[0])
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, y, classes)
    assert clf.classes_.tolist() == [10, 20, 30, 40]
    assert clf.statistics_.class_counts.tolist() == [60, 30, 25, 5]
    np.testing.assert_array_equal(clf.predict_proba(data[0]), before)


def test_a_saved_classifier_goes_on_learning(base, data, tmp_path):
    clf = CompositionalClassifier(base).fit(*data)
    clf.save_classifier(tmp_path / "head.safetensors")
    loaded = load_classifier(tmp_path / "head.safetensors")
    test = np.random.default_rng(3).normal(size=(20, 6))
    np.testing.assert_array_equal(loaded.predict_proba(test), clf.predict_proba(test))
    clf.partial_fit(*new_classes())
    loaded.partial_fit(*new_classes())
    np.testing.assert_array_equal(loaded.predict_proba(test), clf.predict_proba(test))


def test_attention_has_one_array_per_member_with_rows_that_sum_to_one(base, data):
    members = ("prototypes", 20, 30)
    clf = CompositionalClassifier(base, donors=members).fit(*data)
    none, twenty, thirty = clf.attention_
    assert none.shape == twenty.shape == thirty.shape == (4, 4)
    assert (none == 0).all()
    np.testing.assert_allclose(twenty.sum(axis=1), 1, rtol=1e-6)
    assert (twenty[:, 3] == 0).all()
    assert (thirty[:, 0] == 1).all()


def test_top_donors_are_the_largest_shares(base, data):
    clf = CompositionalClassifier(base, donors=("prototypes", 0)).fit(*data)
    nobody, top = clf.top_donors(n=3)
    assert nobody.classes.shape == nobody.shares.shape == (4, 0)
    shares = clf.attention_[1]
    best = np.argsort(-shares, axis=1)[:, :3]
    np.testing.assert_array_equal(top.classes, clf.classes_[best])
    np.testing.assert_allclose(top.shares, np.take_along_axis(shares, best, axis=1))
    assert clf.top_donors(n=50)[1].shares.shape == (4, 4)
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        clf.top_donors(n=0)
