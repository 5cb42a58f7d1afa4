import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtail.labels import decode_labels, encode_labels, positions_of, same_kind

INTEGERS = st.integers(-5, 12)
TEXTS = st.text("abcß7", max_size=3)


def by_looking_up(labels, classes):
    places = {value: place for place, value in enumerate(classes)}
    return [places.get(label, -1) for label in labels]


@given(st.lists(INTEGERS, max_size=20), st.lists(INTEGERS, max_size=8, unique=True))
def test_positions_of_integers_match_a_dictionary(labels, classes):
    found = positions_of(np.array(labels, dtype=int), np.array(classes, dtype=int))
    assert found.tolist() == by_looking_up(labels, classes)


@pytest.mark.parametrize("dtypes", [(str, str), (object, str), (str, object)])
@given(
    labels=st.lists(TEXTS, max_size=20),
    classes=st.lists(TEXTS, max_size=8, unique=True),
)
def test_positions_of_text_match_a_dictionary(dtypes, labels, classes):
    found = positions_of(
        np.array(labels, dtype=dtypes[0]), np.array(classes, dtype=dtypes[1])
    )
    assert found.tolist() == by_looking_up(labels, classes)


def test_positions_of_floats_are_found_among_integers():
    found = positions_of(np.array([2.0, 2.5, 1.0]), np.array([2, 1]))
    assert found.tolist() == [0, -1, 1]


@pytest.mark.parametrize("dtype", [str, object])
def test_positions_of_a_number_written_as_text_are_unknown(dtype):
    numbers, texts = np.array([3, 4]), np.array(["3", "4"], dtype=dtype)
    assert positions_of(numbers, texts).tolist() == [-1, -1]
    assert positions_of(texts, numbers).tolist() == [-1, -1]
    assert not same_kind(numbers, texts)


def test_positions_of_is_empty_for_no_labels():
    found = positions_of(np.array([], dtype=int), np.array([1, 2]))
    assert found.dtype == np.int64
    assert len(found) == 0


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 1, 2]),
        np.array([-3, 1], dtype=np.int8),
        np.array([2**63 + 1, 0], dtype=np.uint64),
        np.array([True, False]),
        np.array([0.1, -2.5e300]),
        np.array([0.1, 3.0], dtype=np.float32),
        np.array(["lynx", "", "größer"]),
        np.array(["lynx", "cat"], dtype=object),
        np.array([], dtype="<U3"),
    ],
    ids=lambda labels: labels.dtype.str,
)
def test_labels_survive_json_with_their_dtype(labels):
    decoded = decode_labels(json.loads(json.dumps(encode_labels(labels))))
    assert decoded.dtype == labels.dtype
    assert decoded.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([1, "a"], dtype=object), "object array with other things"),
        (np.array([None, "a"], dtype=object), "object array with other things"),
        (np.array([1j]), "got complex128"),
        (np.array([b"a"]), r"got \|S1"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "got datetime64"),
    ],
)
def test_encode_labels_refuses_what_json_would_change(labels, message):
    with pytest.raises(TypeError, match=message):
        encode_labels(labels)


@pytest.mark.parametrize(
    ("dtype", "values", "message"),
    [
        ("<c16", [1, 2], "cannot have dtype complex128"),
        ("<M8[D]", [1, 2], "cannot have dtype datetime64"),
        ("<U1", ["ab", "c"], "do not fit their dtype <U1"),
        ("<i8", [1.5, 2], "do not fit their dtype int64"),
        ("<i8", [[1], [2]], "do not fit their dtype int64"),
        ("<i8", 5, "do not fit their dtype int64"),
        ("|O", [1, "a"], "must be strings"),
    ],
)
def test_decode_labels_refuses_values_that_do_not_fit(dtype, values, message):
    with pytest.raises(ValueError, match=message):
        decode_labels({"dtype": dtype, "values": values})
