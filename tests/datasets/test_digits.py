import numpy as np
import pytest
from sklearn.datasets import load_digits

from headtail.datasets import long_tailed_digits
from headtail.statistics import shot_groups


@pytest.fixture(scope="module")
def digits():
    return long_tailed_digits()


def test_training_counts_fall_and_the_test_set_is_balanced(digits):
    counts = np.bincount(digits.train_labels)
    assert (counts[0], counts[-1]) == (120, 3)
    assert (np.diff(counts) < 0).all()
    assert np.bincount(digits.test_labels).tolist() == [50] * 10


def test_every_shot_group_has_classes(digits):
    groups = shot_groups(np.bincount(digits.train_labels))
    assert {name: int(mask.sum()) for name, mask in groups.items()} == {
        "many": 1,
        "medium": 4,
        "few": 5,
    }


def test_examples_are_digits_with_their_labels_and_none_is_in_both_sets(digits):
    source = load_digits()
    known = {
        pixels.tobytes(): label
        for pixels, label in zip(source.data, source.target, strict=True)
    }
    assert len(known) == len(source.data)
    sets = []
    for pixels, labels in (
        (digits.train_pixels, digits.train_labels),
        (digits.test_pixels, digits.test_labels),
    ):
        keys = [row.tobytes() for row in pixels]
        assert [known[key] for key in keys] == labels.tolist()
        sets.append(set(keys))
    assert len(sets[0] | sets[1]) == len(digits.train_labels) + len(digits.test_labels)


def test_names_are_the_words_for_the_labels(digits):
    assert digits.class_names == (
        *("zero", "one", "two", "three", "four"),
        *("five", "six", "seven", "eight", "nine"),
    )


def test_same_seed_same_digits_and_another_seed_others(digits):
    same, other = long_tailed_digits(0), long_tailed_digits(1)
    for mine, again, else_ in zip(digits[:4], same[:4], other[:4], strict=True):
        np.testing.assert_array_equal(mine, again)
        assert mine.shape == else_.shape
    assert (digits.train_pixels != other.train_pixels).any()
    assert (digits.test_pixels != other.test_pixels).any()
