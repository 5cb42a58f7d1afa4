"""A SQLite file that one process has open, and errors that say what to do."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["damaged", "naming_errors", "open_alone", "transaction"]


def open_alone(path: Path, application: int) -> sqlite3.Connection:
    """Open a file of an application, or make it; no other process may have it open.

    What is deleted is overwritten, and a commit is on the disk when it returns.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} must exist; make it first.")
    with naming_errors(path):
        # No waiting: who has the file open keeps it. Whole, for SQLite takes some
        # names for others.
        db = sqlite3.connect(
            path.absolute(), timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            # Before anything is read, so that the lock is held from the first page on.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA trusted_schema = OFF")
            (found,) = db.execute("PRAGMA application_id").fetchone()
            (n_tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if found != application and (found or n_tables):
                raise sqlite3.DatabaseError("it belongs to another program")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Do all that is inside or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # A full disk has rolled it back already.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def naming_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into an error that names the file and says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise OSError(
                f"{path} must be open in one process; another one has it. Stop that "
                "server, or name another file with --journal."
            ) from error
        if code == sqlite3.SQLITE_FULL:
            raise OSError(
                errno.ENOSPC,
                "The disk must have room for the journal; it is full, and nothing was "
                "changed. Free space and try again",
                str(path),
            ) from error
        if type(error) is sqlite3.DatabaseError:
            raise damaged(path, str(error)) from error
        raise OSError(
            f"{path} must be a file that can be read and written; SQLite says: "
            f"{error}. Name another with --journal."
        ) from error
    except UnicodeDecodeError as error:  # what SQLite says quotes what it stumbles on
        raise damaged(path, "it is not text where it should be") from error


def damaged(path: Path, why: str) -> ValueError:
    """Return the error for a file that is no whole journal."""
    return ValueError(
        f"{path} must be a whole journal; {why}. Put a copy in its place, or move it "
        "away to begin with the head alone."
    )
