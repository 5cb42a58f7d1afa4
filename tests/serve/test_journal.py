"""The file of changes: one owner, one head, nothing left of what was erased."""

import sqlite3

import numpy as np
import pytest
import torch

from headtail.serve.journal import Journal
from headtail.serve.records import Change, ClassSum, Entry, Once
from tests.serve.conftest import examples


def part(seed=0):
    return ClassSum.of(torch.from_numpy(examples(4, 2, seed)))


def filled(path):
    journal = Journal(path, "abc", 6)
    journal.commit(
        Entry(1, {"version": 1}, Change(1, "class", "emu", 7, part()), labels_given=1)
    )
    journal.commit(
        Entry(2, {"version": 2}, Change(2, "examples", "emu", None, part(1)))
    )
    return journal


def test_a_journal_gives_back_what_was_written(tmp_path):
    filled(tmp_path / "a").close()
    journal = Journal(tmp_path / "a", "abc", 6)
    first, second = journal.changes()
    assert first[:4] == (1, "class", "emu", 7)
    assert second[:4] == (2, "examples", "emu", None)
    for row, seed in ((first, 0), (second, 1)):
        assert row.part[:2] == (2, 0)
        assert torch.equal(row.part.sums, part(seed).sums)
        assert torch.equal(row.part.unit_sums, part(seed).unit_sums)
    assert [row.sequence for row in journal.changes("gnu")] == []
    assert journal.row(2).name == "emu"
    assert journal.row(3) is None
    journal.close()


def test_what_is_erased_is_in_no_byte_of_the_files(tmp_path):
    journal = filled(tmp_path / "a")
    traces = [part(1).sums.numpy().tobytes(), part(1).unit_sums.numpy().tobytes()]

    def bytes_there():
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert all(trace in bytes_there() for trace in traces)
    journal.commit(Entry(3, {"version": 3}, erased=[2]))
    journal.settle()
    assert not any(trace in bytes_there() for trace in traces)
    assert b"emu" in bytes_there()
    journal.commit(Entry(4, {"version": 4}, emptied=1))
    journal.settle()
    assert part().sums.numpy().tobytes() not in bytes_there()
    assert b"emu" in bytes_there()
    journal.commit(Entry(5, {"version": 5}, erased=[1]))
    journal.settle()
    assert b"emu" not in bytes_there()
    journal.close()


def test_what_a_killed_process_had_erased_is_overwritten_at_the_next_start(tmp_path):
    journal = filled(tmp_path / "a")
    journal.commit(Entry(3, {"version": 3}, erased=[2]))
    # As a process that is killed leaves the files.
    (tmp_path / "b").mkdir()
    for name in ("a", "a-wal"):
        (tmp_path / "b" / name).write_bytes((tmp_path / name).read_bytes())
    journal.close()
    trace = part(1).sums.numpy().tobytes()
    assert trace in (tmp_path / "b/a-wal").read_bytes()
    again = Journal(tmp_path / "b/a", "abc", 6)
    assert again.sequence == 3
    assert not any(trace in p.read_bytes() for p in (tmp_path / "b").iterdir())
    again.close()


def test_a_second_owner_is_refused_and_a_later_one_is_not(tmp_path):
    journal = filled(tmp_path / "a")
    with pytest.raises(OSError, match=r"a must be open in one process; another one"):
        Journal(tmp_path / "a", "abc", 6)
    journal.close()
    Journal(tmp_path / "a", "abc", 6).close()


@pytest.mark.parametrize(("head", "n_features"), [("abd", 6), ("abc", 7)])
def test_the_journal_of_another_head_is_refused(tmp_path, head, n_features):
    filled(tmp_path / "a").close()
    with pytest.raises(ValueError, match="it is that of another one"):
        Journal(tmp_path / "a", head, n_features)
    Journal(tmp_path / "a", "abc", 6).close()


def test_settings_that_keep_a_change_are_on(tmp_path):
    db = filled(tmp_path / "a")._db
    pragmas = ("journal_mode", "synchronous", "secure_delete", "locking_mode")
    found = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert found == ["wal", 2, 1, "exclusive"]
    db.close()


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    (tmp_path / "text").write_text("something else" * 99)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("other", "text"):
        with pytest.raises(ValueError, match=f"{name} must be a whole journal"):
            Journal(tmp_path / name, "abc", 6)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE changes SET kind = 'x'", "row 1 is of no known kind"),
        ("UPDATE changes SET sums = x'00'", "row 1 holds no statistics"),
        ("UPDATE changes SET count = 0", "row 1 holds no statistics"),
        ("UPDATE changes SET zeros = 3", "row 1 holds no statistics"),
        ("UPDATE changes SET unit_sums = NULL", "row 1 holds no statistics"),
        ("UPDATE changes SET label = '{' WHERE label = '7'", "must be a whole journal"),
        ("UPDATE changes SET label = NULL", "row 1 has no label"),
        ("UPDATE facts SET value = '1' WHERE name = 'sequence'", "counters do not fit"),
        ("UPDATE facts SET value = '[' WHERE name = 'sequence'", "whole journal"),
        ("DELETE FROM facts WHERE name = 'labels_given'", "counters do not fit"),
        ("PRAGMA user_version = 9", "must have format 1; it has 9"),
        ("DROP TABLE changes", "no such table"),
    ],
)
def test_a_damaged_journal_is_refused(tmp_path, statement, message):
    filled(tmp_path / "a").close()
    with sqlite3.connect(tmp_path / "a") as db:
        db.execute(statement)
    db.close()
    with pytest.raises((ValueError, OSError), match=message) as refused:
        Journal(tmp_path / "a", "abc", 6)
    assert str(tmp_path / "a") in str(refused.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    filled(tmp_path / "a").close()
    with sqlite3.connect(tmp_path / "a") as db:
        db.execute("UPDATE changes SET sums = ?", (np.full(6, np.nan).tobytes(),))
    db.close()
    with pytest.raises(ValueError, match="row 1 is not finite"):
        Journal(tmp_path / "a", "abc", 6)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder of .*no/a must exist"):
        Journal(tmp_path / "no/a", "abc", 6)
    with pytest.raises(OSError, match="unable to open database file"):
        Journal(tmp_path, "abc", 6)
    filled(tmp_path / "a").close()
    # What root may write nevertheless: a file that is open for reading alone.
    with pytest.raises(OSError, match=r"can be read and written.*--journal"):
        Journal("/dev/full", "abc", 6)


def test_a_transaction_that_breaks_off_leaves_nothing(tmp_path):
    journal = filled(tmp_path / "a")
    twice = Change(2, "examples", "emu", None, part())
    with pytest.raises(OSError, match="UNIQUE constraint failed"):
        journal.commit(Entry(3, {"version": 3}, twice, erased=[1]))
    assert journal.sequence == 2
    assert len(journal.changes()) == 2
    journal.close()


def test_only_the_latest_keys_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("headtail.serve.journal._KEPT_ANSWERS", 2)
    journal = Journal(tmp_path / "a", "abc", 6)
    for n in (1, 2, 3):
        journal.commit(Entry(n, {"version": n}), Once(f"k{n}", "x"))
    told = [journal.answered(Once(f"k{n}", "x")) for n in (1, 2, 3)]
    assert told == [None, {"version": 2}, {"version": 3}]
    journal.close()
