import numpy as np
import pytest
import torch

from headtail.losses.checks import (
    check_between,
    check_width,
    checked_class_counts,
    checked_class_weights,
)

COUNTS = [3, 1, 200]


@pytest.mark.parametrize(
    "counts",
    [
        COUNTS,
        tuple(COUNTS),
        np.array(COUNTS),
        np.array(COUNTS, dtype=np.uint16),
        torch.tensor(COUNTS),
        torch.tensor(COUNTS, dtype=torch.uint8),
    ],
    ids=lambda counts: f"{type(counts).__name__}-{getattr(counts, 'dtype', '')}",
)
def test_counts_of_any_kind_become_float64(counts):
    checked = checked_class_counts(counts)
    assert checked.dtype == torch.float64
    assert checked.tolist() == COUNTS


def test_a_class_without_samples_is_refused():
    message = (
        r"class_counts must be at least 1 for every class; classes \[1, 4\] have no "
        r"training sample\. Drop them\."
    )
    with pytest.raises(ValueError, match=message):
        checked_class_counts([2, 0, 7, 1, -3])


@pytest.mark.parametrize("counts", [[], [[1, 2]], np.array(5)])
def test_counts_are_one_dimensional(counts):
    shape = list(np.shape(counts))
    message = rf"one-dimensional, one count per class; got shape \{str(shape)[:-1]}\]"
    with pytest.raises(ValueError, match=message):
        checked_class_counts(counts)


@pytest.mark.parametrize(
    ("counts", "kind"),
    [([1.0, 2.0], "float64"), ([True, True], "bool"), ([1j], "complex128")],
)
def test_counts_are_integers(counts, kind):
    with pytest.raises(TypeError, match=rf"must be integers; got torch\.{kind}"):
        checked_class_counts(counts)


def test_weights_are_an_independent_float64_copy():
    for given in (torch.tensor([1.0, 0.0]).double(), torch.tensor([1, 0])):
        checked = checked_class_weights(given)
        assert checked.dtype == torch.float64
        given[1] = 5
        assert checked.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("weight", "came"),
    [
        ([1.0, -2.0], r"classes \[1\] have \[-2\.0\]"),
        ([float("nan"), 1.0, float("inf")], r"classes \[0, 2\] have \[nan, inf\]"),
        ([0.0, 0.0], "all of them are 0"),
        ([], "all of them are 0"),
        ([[1.0]], r"got shape \[1, 1\]"),
    ],
)
def test_bad_weights_are_refused(weight, came):
    message = f"weight must be finite and not negative, one per class; {came}"
    with pytest.raises(ValueError, match=message):
        checked_class_weights(weight)


def test_weights_are_as_many_as_classes():
    message = r"one per class \(3\); got shape \[2\]"
    with pytest.raises(ValueError, match=message):
        checked_class_weights([1.0, 2.0], 3)
    assert len(checked_class_weights([1.0, 2.0], 2)) == 2


def test_width_of_the_logits():
    per_class = torch.zeros(5)
    check_width(torch.zeros(2, 5), per_class)
    message = r"logits must have one column per class \(5\); got 4\."
    with pytest.raises(ValueError, match=message):
        check_width(torch.zeros(2, 4), per_class)


@pytest.mark.parametrize(
    ("closed", "low_is_in", "high_is_in", "written"),
    [
        ("left", True, False, r"\[0, 1\)"),
        ("right", False, True, r"\(0, 1\]"),
        ("both", True, True, r"\[0, 1\]"),
        ("neither", False, False, r"\(0, 1\)"),
    ],
)
def test_ends_of_an_interval(closed, low_is_in, high_is_in, written):
    check_between("x", 0.5, 0, 1, closed=closed)
    for end, is_in in ((0, low_is_in), (1.0, high_is_in)):
        if is_in:
            check_between("x", end, 0, 1, closed=closed)
            continue
        message = f"x must be a number in {written}; got {end}"
        with pytest.raises(ValueError, match=message):
            check_between("x", end, 0, 1, closed=closed)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), np.float32(-1)])
def test_numbers_outside_are_refused(value):
    with pytest.raises(ValueError, match=rf"x must be .* \[0, inf\); got {value}"):
        check_between("x", value, 0)


@pytest.mark.parametrize(
    ("value", "kind"), [("1", "str"), (None, "NoneType"), (True, "bool")]
)
def test_what_is_no_number_is_refused(value, kind):
    with pytest.raises(TypeError, match=f"x must be a number; got {kind}"):
        check_between("x", value, 0)
