import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtail.statistics import shot_groups

COUNTS = st.lists(st.integers(0, 130) | st.integers(0, 10**9), max_size=30)
CONVENTIONS = ["decoupling", "ckt"]


def by_ranges(count, convention, few=20, many=100):
    """Name the group of one count by the table of METHODS.md, section 0."""
    medium = (few, many + 1) if convention == "decoupling" else (few + 1, many)
    if count in range(*medium):
        return "medium"
    return "many" if count >= medium[1] else "few"


def names_of(groups):
    names = np.full(len(groups.many), "", dtype=object)
    for name, mask in groups.items():
        names[mask] += name
    return names.tolist()


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("decoupling", "few few medium medium medium medium many many"),
        ("ckt", "few few few medium medium many many many"),
    ],
)
def test_end_points_belong_where_the_convention_says(convention, expected):
    groups = shot_groups([0, 19, 20, 21, 99, 100, 101, 5000], convention)
    assert names_of(groups) == expected.split()


def test_decoupling_is_the_default():
    assert names_of(shot_groups([20, 100])) == ["medium", "medium"]


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(COUNTS)
def test_groups_match_ranges_of_integers(convention, counts):
    groups = shot_groups(counts, convention)
    assert names_of(groups) == [by_ranges(count, convention) for count in counts]


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(COUNTS, st.integers(0, 120), st.integers(0, 120))
def test_every_class_is_in_exactly_one_group(convention, counts, one, other):
    few, many = sorted([one, other])
    groups = shot_groups(counts, convention, few=few, many=many)
    memberships = sum(mask.astype(int) for _, mask in groups.items())
    assert (memberships == 1).all()
    assert [len(mask) for _, mask in groups.items()] == [len(counts)] * 3


@given(COUNTS, st.randoms(use_true_random=False))
def test_permuting_classes_permutes_the_groups(counts, random):
    order = random.sample(range(len(counts)), len(counts))
    names = names_of(shot_groups(counts))
    permuted = names_of(shot_groups([counts[i] for i in order]))
    assert permuted == [names[i] for i in order]


def test_group_without_class_is_an_empty_mask():
    groups = shot_groups([1, 2, 3])
    assert not groups.many.any()
    assert not groups.medium.any()
    assert groups.few.all()


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_no_classes_give_three_masks_of_length_zero(convention):
    groups = shot_groups([], convention)
    for mask in (groups.many, groups.medium, groups.few):
        assert mask.dtype == np.bool_
        assert mask.shape == (0,)


def test_items_run_from_many_to_few():
    groups = shot_groups([1, 50, 500])
    assert [name for name, _ in groups.items()] == ["many", "medium", "few"]
    assert [mask.tolist().index(True) for _, mask in groups.items()] == [2, 1, 0]


def test_other_numbers_keep_the_inequalities():
    counts = [4, 5, 6, 9, 10, 11]
    decoupling = names_of(shot_groups(counts, few=5, many=10))
    ckt = names_of(shot_groups(counts, "ckt", few=5, many=10))
    assert decoupling == ["few", "medium", "medium", "medium", "medium", "many"]
    assert ckt == ["few", "few", "medium", "medium", "many", "many"]


@pytest.mark.parametrize(
    ("convention", "middle"), [("decoupling", "medium"), ("ckt", "many")]
)
def test_few_equal_to_many_leaves_one_count_between(convention, middle):
    groups = shot_groups([6, 7, 8], convention, few=7, many=7)
    assert names_of(groups) == ["few", middle, "many"]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_any_integer_dtype_is_taken(dtype):
    counts = np.array([19, 20, 100, 101], dtype=dtype)
    assert names_of(shot_groups(counts)) == ["few", "medium", "medium", "many"]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1.0, 2.0], r"float64 of shape \(2,\)"),
        ([True, False], r"bool of shape \(2,\)"),
        (["1"], r"<U1 of shape \(1,\)"),
        ([[1, 2]], r"int64 of shape \(1, 2\)"),
    ],
)
def test_counts_that_are_not_a_row_of_integers_are_refused(counts, message):
    with pytest.raises(TypeError, match=message):
        shot_groups(counts)


def test_negative_counts_are_named():
    with pytest.raises(ValueError, match=r"at least 0; got \[-3, -1\]"):
        shot_groups([5, -3, -1])


def test_few_above_many_is_refused():
    with pytest.raises(ValueError, match="got few=101, many=100"):
        shot_groups([5], few=101)


def test_unknown_convention_is_refused(monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match="'decoupling' or 'ckt'; got 'oltr'"):
        shot_groups([5], "oltr")
