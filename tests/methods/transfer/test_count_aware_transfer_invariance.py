"""What changes nothing for the count-aware estimator: lengths, names, types, modes."""

import numpy as np
import pytest
import torch
from sklearn.utils import check_random_state

from headtail.methods.transfer import _balanced_training
from tests.methods.transfer.count_aware import LABELS, classifier


def probabilities(clf, X, y, test):
    return clf.fit(X, y).predict_proba(test)


def test_the_length_of_a_row_changes_nothing(five_classes, held_out, fitted_once):
    (X, y), expected = five_classes, fitted_once.predict_proba(held_out)
    rng = np.random.default_rng(5)
    twos, any_length = 2.0 ** rng.integers(-40, 40, len(X)), np.exp(rng.normal(size=50))
    ours = probabilities(classifier(), X * twos[:, None], y, held_out)
    np.testing.assert_array_equal(ours, expected)
    ours = probabilities(
        classifier(), X * any_length[np.arange(len(X)) % 50, None], y, held_out
    )
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    ours = fitted_once.predict_proba(held_out * any_length[:, None])
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize(
    "names",
    [np.arange(5), np.array(list("abcde")), np.array([-3.0, 0.0, 1.0, 5.0, 9.0])],
)
def test_what_classes_are_called_changes_nothing(
    five_classes, held_out, fitted_once, names
):
    X, y = five_classes
    clf = classifier().fit(X, names[np.searchsorted(LABELS, y)])
    np.testing.assert_array_equal(
        clf.predict_proba(held_out), fitted_once.predict_proba(held_out)
    )
    best = np.searchsorted(LABELS, fitted_once.predict(held_out))
    assert clf.predict(held_out).tolist() == names[best].tolist()


def test_names_change_nothing_in_a_search_either(searched, long_tail, one_tail):
    X, y = long_tail
    clf = classifier().fit(X, np.array(list("abcdefghij"))[y])
    assert clf.mixture_ == searched.mixture_
    np.testing.assert_array_equal(clf.predict_proba(X), searched.predict_proba(X))
    assert clf.selection_.missing_classes.tolist() == ["h", "i", "j"]


def test_the_order_of_classes_changes_nothing_but_their_order(five_classes, held_out):
    X, y = five_classes
    order = np.array([3, 0, 4, 1, 2])
    moved = classifier().fit(X, order[np.searchsorted(LABELS, y)])
    expected = probabilities(classifier(), X, y, held_out)
    ours = moved.predict_proba(held_out)[:, order]
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_a_rotation_of_the_features_changes_nothing(
    five_classes, held_out, fitted_once
):
    X, y = five_classes
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))
    ours = probabilities(classifier(), X @ rotation, y, held_out @ rotation)
    np.testing.assert_allclose(ours, fitted_once.predict_proba(held_out), atol=1e-3)


def test_a_rotation_changes_nothing_in_a_search_either(searched, long_tail, one_tail):
    X, y = long_tail
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))
    turned = classifier().fit(X @ rotation, y)
    assert turned.mixture_ == searched.mixture_
    agree = turned.predict(X @ rotation) == searched.predict(X)
    assert agree.mean() > 0.99


def test_tensors_give_what_arrays_give(five_classes, held_out, fitted_once):
    X, y = (torch.tensor(part) for part in five_classes)
    ours = probabilities(classifier(), X, y, torch.from_numpy(held_out))
    assert isinstance(ours, np.ndarray)
    np.testing.assert_array_equal(ours, fitted_once.predict_proba(held_out))


def test_lists_strides_and_memory_maps_give_what_arrays_give(
    five_classes, held_out, fitted_once, tmp_path
):
    X, y = five_classes
    np.save(tmp_path / "X.npy", X)
    wide = np.repeat(X, 2, axis=1)
    expected = fitted_once.predict_proba(held_out)
    for rows in (
        X.tolist(),
        np.asfortranarray(X),
        wide[:, ::2],
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        X.astype(">f8"),
    ):
        ours = probabilities(classifier(), rows, list(y), held_out)
        np.testing.assert_allclose(ours, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.float16, np.float32),
        (np.uint8, np.float64),
        (np.int64, np.float64),
    ],
)
def test_every_type_of_number_is_taken(five_classes, held_out, dtype, computed):
    X, y = np.clip(20 * five_classes[0] + 100, 0, 200).astype(dtype), five_classes[1]
    test = np.clip(20 * held_out + 100, 0, 200).astype(dtype)
    clf = classifier().fit(X, y)
    ours = clf.predict_proba(test)
    assert ours.dtype == clf.map_.dtype == clf.weight_.dtype == computed
    expected = probabilities(classifier(), X.astype(computed), y, test.astype(computed))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert (clf.predict(test) == np.repeat(LABELS, 10)).mean() > 0.9


def test_bfloat16_is_taken(five_classes, held_out):
    X = torch.tensor(five_classes[0]).bfloat16()
    clf = classifier().fit(X, five_classes[1])
    assert clf.predict_proba(X).dtype == np.float32
    assert (clf.predict(held_out) == np.repeat(LABELS, 10)).mean() > 0.9


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_changes_nothing(
    five_classes, held_out, fitted_once, mode, monkeypatch
):
    expected = fitted_once.predict_proba(held_out)
    for most_kept in (2**27, 0):
        monkeypatch.setattr(_balanced_training, "_MOST_KEPT", most_kept)
        with mode():
            # Made in that mode too: such tensors keep no gradients.
            X, y = (torch.tensor(part) for part in five_classes)
            clf = classifier().fit(X, y)
        np.testing.assert_allclose(clf.predict_proba(held_out), expected, atol=1e-6)
        assert torch.is_grad_enabled()
        clf.partial_fit(held_out[:1], LABELS[:1])


def test_no_global_generator_is_touched(searched, long_tail, one_tail):
    numbers, tensors = check_random_state(None).get_state(), torch.get_rng_state()
    classifier().fit(*long_tail)
    np.testing.assert_equal(check_random_state(None).get_state(), numbers)
    assert torch.get_rng_state().equal(tensors)


def test_same_seed_same_bytes(searched, long_tail, one_tail, tmp_path):
    for name, clf in (("first", searched), ("second", classifier().fit(*long_tail))):
        clf.save_classifier(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second


def test_another_seed_has_other_weights(five_classes, fitted_once):
    other = classifier(random_state=1).fit(*five_classes)
    assert (other.weight_ != fitted_once.weight_).any()
    # A generator goes on from fit to fit.
    state = np.random.RandomState(0)
    one, two = (
        classifier(random_state=state).fit(*five_classes).weight_ for _ in range(2)
    )
    assert (one != two).any()
    np.testing.assert_array_equal(one, fitted_once.weight_)


def test_the_device_may_be_named(five_classes, held_out, fitted_once):
    ours = probabilities(classifier(device="cpu"), *five_classes, held_out)
    np.testing.assert_array_equal(ours, fitted_once.predict_proba(held_out))


def test_the_lengths_of_float32_rows_may_differ_by_thirty_powers_of_ten(
    five_classes, held_out
):
    lengths = np.logspace(-15, 15, len(five_classes[0]), dtype=np.float32)[:, None]
    X = five_classes[0].astype(np.float32)
    with_lengths = classifier().fit(X * lengths, five_classes[1]).predict(held_out)
    assert (with_lengths == np.repeat(LABELS, 10)).mean() > 0.9
