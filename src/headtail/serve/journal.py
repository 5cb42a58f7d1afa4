"""The journal: every change of a served head, durable before it is answered."""

import json
import os
from pathlib import Path
from typing import Any

from headtail.files import parse_json
from headtail.serve.database import damaged, naming_errors, open_alone, transaction
from headtail.serve.errors import RefusedError
from headtail.serve.records import (
    Change,
    ClassSum,
    Entry,
    Once,
    numbers_of,
    row_of,
)

__all__ = ["Journal"]

# "HTJL" and the version of the tables, both in the header of the file.
_APPLICATION, _FORMAT = 0x48544A4C, 1
# Answers that are kept for clients that ask again.
_KEPT_ANSWERS = 10_000
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, label TEXT,
    count INTEGER, zeros INTEGER, sums BLOB, unit_sums BLOB
);
CREATE INDEX changes_of ON changes (name);
CREATE TABLE answers (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, sequence INTEGER, answer TEXT NOT NULL
);
"""
_COLUMNS = "sequence, kind, name, label, count, zeros, sums, unit_sums"


class Journal:
    """The changes of one head in a SQLite file, which one process may have open.

    Statistics are kept, never examples. What is erased is overwritten in the file.

    Parameters
    ----------
    path
        Made if it is not there.
    head
        Fingerprint of the head's file: a journal belongs to one head.
    n_features
        Length of a feature vector.

    Raises
    ------
    OSError
        If the file cannot be read and written, or another process has it open.
    ValueError
        If it is no journal, a damaged one, or one of another head or format.

    Examples
    --------
    >>> import torch
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     journal = Journal(f"{folder}/a.journal", "abc", 2)
    ...     part = ClassSum.of(torch.ones(1, 2))
    ...     row = Change(1, "class", "lynx", 7, part)
    ...     journal.commit(Entry(1, {"version": 1}, added=row))
    ...     journal.sequence, journal.changes()[0].label
    ...     journal.close()
    (1, 7)
    """

    def __init__(
        self, path: str | os.PathLike[str], head: str, n_features: int
    ) -> None:
        self.path, self._n_features = Path(path), n_features
        self._db = open_alone(self.path, _APPLICATION)
        try:
            with naming_errors(self.path):
                self._begin(head)
            self._erased = True  # what a process that was killed left in the log
            self.settle()
            self._read()
        except BaseException:
            self._db.close()
            raise

    def changes(self, name: str | None = None) -> list[Change]:
        """Return the changes that remain, of one class or of all, in order."""
        which, given = ("WHERE name = ?", (name,)) if name is not None else ("", ())
        query = f"SELECT {_COLUMNS} FROM changes {which} ORDER BY sequence"
        with naming_errors(self.path):
            return [self._change(row) for row in self._db.execute(query, given)]

    def row(self, sequence: int) -> Change | None:
        """Return the change with this number; None if it is not there."""
        if not 0 < sequence <= self.sequence:
            return None
        query = f"SELECT {_COLUMNS} FROM changes WHERE sequence = ?"
        with naming_errors(self.path):
            row = self._db.execute(query, (sequence,)).fetchone()
        return None if row is None else self._change(row)

    def answered(self, once: Once) -> dict[str, int] | None:
        """Return the answer that was given to a key; None if there was none.

        Raises
        ------
        RefusedError
            If the key came with another request then.
        """
        query = "SELECT request, answer FROM answers WHERE key = ?"
        with naming_errors(self.path):
            row = self._db.execute(query, (once.key,)).fetchone()
        if row is None:
            return None
        if row[0] != once.request:
            raise RefusedError(
                422,
                "An Idempotency-Key must stand for one request; this one came with "
                "another before. Choose a new key.",
            )
        answer: dict[str, int] = self._json(row[1])
        return answer

    def commit(self, entry: Entry, once: Once | None = None) -> None:
        """Write a change; when this returns, it outlives the process and the power.

        Raises
        ------
        OSError
            If it could not be written, on a full disk say. Then nothing was.
        """
        db = self._db
        with naming_errors(self.path), transaction(db):
            for number in entry.erased:
                db.execute("DELETE FROM changes WHERE sequence = ?", (number,))
            if entry.emptied is not None:
                db.execute(
                    "UPDATE changes SET count = NULL, zeros = NULL, sums = NULL, "
                    "unit_sums = NULL WHERE sequence = ?",
                    (entry.emptied,),
                )
            if entry.added is not None:
                values = row_of(entry.added)
                marks = ", ".join("?" * len(values))
                db.execute(f"INSERT INTO changes VALUES ({marks})", values)
            self._set(sequence=entry.sequence, labels_given=entry.labels_given)
            if once is not None:
                told = (
                    once.key,
                    once.request,
                    entry.sequence,
                    json.dumps(entry.answer),
                )
                db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", told)
                oldest = entry.sequence - _KEPT_ANSWERS
                db.execute("DELETE FROM answers WHERE sequence <= ?", (oldest,))
        self.sequence, self.labels_given = entry.sequence, entry.labels_given
        self._erased |= bool(entry.erased) or entry.emptied is not None

    def settle(self) -> None:
        """Overwrite what was erased in the log of writes too, if anything was.

        Raises
        ------
        OSError
            If that could not be written. The next call tries again.
        """
        if not self._erased:
            return
        with naming_errors(self.path):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._erased = False

    def close(self) -> None:
        """Close the file; another process may open it then."""
        self._db.close()

    def _begin(self, head: str) -> None:
        """Take the lock; make the tables, or check that they are of this head."""
        db = self._db
        with transaction(db):
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if not found:
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                self._set(head=head, n_features=self._n_features)
                self._set(sequence=0, labels_given=0)
                db.execute(f"PRAGMA application_id = {_APPLICATION}")
                db.execute(f"PRAGMA user_version = {_FORMAT}")
                return
        if found != _FORMAT:
            raise ValueError(
                f"{self.path} must have format {_FORMAT}; it has {found}. Read it with "
                "the version of headtail that wrote it."
            )
        facts = self._facts()
        if (facts.get("head"), facts.get("n_features")) != (head, self._n_features):
            raise ValueError(
                f"{self.path} must be the journal of this head; it is that of another "
                "one. Name another file with --journal, or serve the head that it "
                "belongs to."
            )

    def _read(self) -> None:
        """Read the counters, and every row once to see that it is whole."""
        facts, rows = self._facts(), self.changes()
        sequence, given = facts.get("sequence"), facts.get("labels_given")
        last = rows[-1].sequence if rows else 0
        if not (
            type(sequence) is type(given) is int and sequence >= last >= 0 <= given
        ):
            raise damaged(self.path, "its counters do not fit its rows")
        self.sequence, self.labels_given = sequence, given

    def _facts(self) -> dict[str, Any]:
        with naming_errors(self.path):
            rows = self._db.execute("SELECT name, value FROM facts").fetchall()
        return {name: self._json(value) for name, value in rows}

    def _set(self, **facts: Any) -> None:
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def _change(self, row: tuple[Any, ...]) -> Change:
        sequence, kind, name, label, count, zeros, sums, unit_sums = row
        part = None
        size = 8 * self._n_features
        if kind not in ("class", "examples", "dropped") or type(name) is not str:
            raise damaged(self.path, f"row {sequence} is of no known kind")
        if sums is not None:
            numbers = type(count) is type(zeros) is int and 0 <= zeros <= count > 0
            blobs = isinstance(sums, bytes) and isinstance(unit_sums, bytes)
            if not (numbers and blobs and len(sums) == len(unit_sums) == size):
                raise damaged(self.path, f"row {sequence} holds no statistics")
            part = ClassSum(count, zeros, numbers_of(sums), numbers_of(unit_sums))
            if not (part.sums.isfinite().all() and part.unit_sums.isfinite().all()):
                raise damaged(self.path, f"row {sequence} is not finite")
        if (kind == "class") != (label is not None):
            raise damaged(self.path, f"row {sequence} has no label, or one too many")
        return Change(sequence, kind, name, self._json(label or "null"), part)

    def _json(self, text: str) -> Any:
        try:
            return parse_json(text)
        except (TypeError, ValueError) as error:
            raise damaged(self.path, f"{error}") from error
