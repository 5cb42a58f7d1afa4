"""A journal of a served head that is damaged is refused by name, or is a whole one."""

import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headtail.serve import Journal
from headtail.serve.records import Change, ClassSum, Entry
from tests.fuzz.mutations import damaged, noise


@cache
def journals():
    """A journal of a class and of more examples of it, as bytes by name."""
    part = ClassSum.of(torch.tensor([[1.0, 2.0]]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.journal")
        journal = Journal(path, "head", 2)
        journal.commit(Entry(1, {"version": 1}, Change(1, "class", "lynx", 7, part)))
        journal.commit(
            Entry(2, {"version": 2}, Change(2, "examples", "lynx", None, part))
        )
        journal.close()
        return {"journal": path.read_bytes()}


def opened(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.journal")
        path.write_bytes(content)
        try:
            journal = Journal(path, "head", 2)
        except (ValueError, OSError) as error:
            assert str(path) in str(error)  # noqa: PT017
            return None
        try:
            return [(change.kind, change.name) for change in journal.changes()]
        finally:
            journal.close()


def test_a_whole_one_is_read():
    assert opened(journals()["journal"]) == [("class", "lynx"), ("examples", "lynx")]


def test_a_word_that_is_no_text_is_damage():
    content = journals()["journal"]
    at = content.index(b"NULL")
    assert opened(content[:at] + b"\xff" + content[at + 1 :]) is None


@settings(max_examples=100)
@given(damaged(journals) | noise)
def test_a_damaged_one(content):
    opened(content)


VALUES = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary()
)
COLUMNS = ["kind", "name", "label", "count", "zeros", "sums", "unit_sums"]


@settings(max_examples=100)
@given(st.sampled_from(COLUMNS), VALUES, st.integers(1, 2))
def test_a_forged_row(column, value, sequence):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.journal")
        path.write_bytes(journals()["journal"])
        db = sqlite3.connect(path)
        query = f"UPDATE changes SET {column} = ? WHERE sequence = ?"
        try:
            db.execute(query, (value, sequence))
            db.commit()
        except sqlite3.IntegrityError:  # a name that must not be NULL
            return
        finally:
            db.close()
        opened(path.read_bytes())
