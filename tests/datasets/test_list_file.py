import gzip
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headtail.datasets.list_file import read_class_names, read_list

# Words that str.split leaves whole; blanks between them belong to the path.
WORDS = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cs", "Z")), min_size=1, max_size=8
)
PATHS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


@pytest.fixture
def written(tmp_path):
    def write(content, name="train.txt"):
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write


@given(
    rows=st.lists(st.tuples(PATHS, st.integers(0, 9_999_999)), min_size=1),
    gap=st.sampled_from([" ", "\t", "  "]),
    end=st.sampled_from(["\n", "\r\n", " \n", "\n\n"]),
    packed=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, rows, gap, end, packed):
    content = "".join(f"{path}{gap}{label}{end}" for path, label in rows).encode()
    file = tmp_path_factory.getbasetemp() / "list.txt"
    file.write_bytes(gzip.compress(content, 1) if packed else content)
    listed = read_list(file)
    assert listed.paths == tuple(path for path, _ in rows)
    assert listed.labels.tolist() == [label for _, label in rows]
    assert listed.labels.dtype == np.int64


def test_byte_order_mark_leading_zeros_and_missing_last_newline(written):
    listed = read_list(written("\ufeffa.jpg 007\n\n   \nb.jpg 0"))
    assert listed.paths == ("a.jpg", "b.jpg")
    assert listed.labels.tolist() == [7, 0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c.jpg", r"line 4 has one word: 'c.jpg'\. Write the label behind the path"),
        ("c.jpg -1", r"line 4 has the label -1: .* Number the classes from 0"),
        ("c.jpg 10000000", "line 4 has the label 10000000"),
        ("c.jpg " + "9" * 30, "line 4 has the label 9{20}: "),
        ("c.jpg 1.5", r"line 4 ends in '1.5': .* Write labels as integers"),
        ("c.jpg 1_0", "line 4 ends in '1_0'"),
        ("c.jpg +1", r"line 4 ends in '\+1'"),
        ("c.jpg lynx", "line 4 ends in 'lynx'"),
        ("c.jpg ³", "line 4 has the label ³"),
        ("x" * 5000, "line 4 has one word: 'x{60}…'"),
    ],
)
def test_a_bad_line_is_named_with_its_number(written, line, message):
    # Empty lines count: the number is the editor's.
    file = written(f"a.jpg 0\n\nb.jpg 1\n{line}\nalso bad\n")
    with pytest.raises(ValueError, match=message):
        read_list(file)


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "\ufeff"])
def test_an_empty_file_is_refused(written, content):
    with pytest.raises(ValueError, match=r"train.txt must hold a line .* it is empty"):
        read_list(written(content))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00 0\n",
        gzip.compress(b"a.jpg 0\n" * 99)[:-12],
        b"\x1f\x8bnot gzip at all",
        gzip.compress(b"a.jpg 0\n" * 99)[:12] + b"\x07" * 30,
    ],
    # Bytes would be their own names; those of gzip hold the time of day, and the
    # processes that share the tests must name them alike.
    ids=["utf-16", "cut gzip", "gzip in name only", "damaged gzip"],
)
def test_what_is_no_text_is_refused(written, content):
    with pytest.raises(
        ValueError, match="must be a whole list in UTF-8, plain or gzip"
    ):
        read_list(written(content))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.txt does not exist"):
        read_list(tmp_path / "none.txt")
    with pytest.raises(IsADirectoryError, match="pass a file"):
        read_list(tmp_path)


def test_four_hundred_thousand_lines_take_no_time(written):
    text = "".join(f"train_val2018/Plantae/{i}/{i}.jpg {i}\n" for i in range(8000))
    file = written(text * 50)
    start = time.process_time()
    listed = read_list(file)
    took = time.process_time() - start
    assert len(listed.paths) == 400_000
    assert listed.labels.sum() == 50 * sum(range(8000))
    assert took < 4  # about 0.4 s; a busy machine may take longer


def test_names_may_hold_blanks_and_a_name_that_comes_twice_gets_its_id(written):
    file = written("n1 great white shark\nn2 crane\r\n\nn3 tench \nn4 crane\n")
    assert read_class_names(file) == {
        "n1": "great white shark",
        "n2": "crane (n2)",
        "n3": "tench",
        "n4": "crane (n4)",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n", "a line 'id name' per class; it has 0 lines, 0 of them"),
        ("n1 tench\nn2\n", "it has 2 lines, 1 of them without a name"),
        ("n1 tench\nn1 crane\n", r"must name every id once; \['n1'\] come twice"),
        (b"n1 \xff", "must be a whole list in UTF-8"),
    ],
)
def test_names_of_another_form_are_refused(written, content, message):
    with pytest.raises(ValueError, match=message):
        read_class_names(written(content))
