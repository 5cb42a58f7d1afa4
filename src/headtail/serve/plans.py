"""What a change makes of a ledger, and what the journal must keep of it."""

import unicodedata

import numpy as np
from torch import Tensor

from headtail.serve.errors import RefusedError
from headtail.serve.journal import Journal
from headtail.serve.ledger import Ledger
from headtail.serve.records import Change, ClassSum, Entry

__all__ = ["Plan", "new_class", "new_examples", "without_class", "without_examples"]

_LONGEST_NAME = 200
# They turn the direction of writing: a name would look like another.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

Plan = tuple[Ledger, Entry]


def new_class(ledger: Ledger, journal: Journal, name: str, features: Tensor) -> Plan:
    """Add a class from examples, [n_samples, n_features]."""
    _check_name(name)
    if name in ledger.names:
        raise RefusedError(
            409,
            f"A new class must have a new name; {name!r} is taken. Add to it by POST "
            "/examples.",
        )
    label, given = _new_label(ledger, journal.labels_given, name)
    sequence = journal.sequence + 1
    row = Change(sequence, "class", name, label, ClassSum.of(features))
    return _with(ledger, row, given)


def new_examples(ledger: Ledger, journal: Journal, name: str, features: Tensor) -> Plan:
    """Add examples to a class, [n_samples, n_features]."""
    _check_known(ledger, name)
    sequence = journal.sequence + 1
    row = Change(sequence, "examples", name, None, ClassSum.of(features))
    return _with(ledger, row, journal.labels_given)


def without_class(ledger: Ledger, journal: Journal, name: str) -> Plan:
    """Take a class away, and all that the journal has of it."""
    _check_known(ledger, name)
    sequence, added = journal.sequence + 1, None
    if name in ledger.added:
        after = ledger.without(name)
    else:
        added = Change(sequence, "dropped", name)
        after = ledger.after([added])
    rows = journal.changes(name)
    return after, Entry(
        sequence,
        {"version": sequence},
        added,
        # A class of the base that had the same name stays dropped.
        erased=[row.sequence for row in rows if row.kind != "dropped"],
        labels_given=journal.labels_given,
    )


def without_examples(ledger: Ledger, journal: Journal, number: int) -> Plan:
    """Take the examples of one change away."""
    row = journal.row(number)
    if row is None or row.part is None:
        raise RefusedError(
            404,
            f"The id must be that of examples that are there; got {number}. It stands "
            "in the answer to POST /classes or POST /examples.",
        )
    name, first = row.name, row.kind == "class"
    rest = [
        change._replace(part=None) if change.sequence == number else change
        for change in journal.changes(name)
        # The row of a class stays, as the class does.
        if change.kind != "dropped" and (first or change.sequence != number)
    ]
    after = ledger.refolded(name, rest)
    if not after.count(name):
        raise RefusedError(
            409,
            f"A class must keep an example; these are the only ones of {name!r}. Take "
            "the class away by DELETE /classes.",
        )
    sequence = journal.sequence + 1
    return after, Entry(
        sequence,
        {"version": sequence, "n_examples": after.count(name)},
        erased=() if first else (number,),
        emptied=number if first else None,
        labels_given=journal.labels_given,
    )


def _with(ledger: Ledger, row: Change, labels_given: int) -> Plan:
    after = ledger.after([row])
    answer = {
        "version": row.sequence,
        "id": row.sequence,
        "n_examples": after.count(row.name),
    }
    return after, Entry(row.sequence, answer, row, labels_given=labels_given)


def _check_known(ledger: Ledger, name: str) -> None:
    names = ledger.names
    if name not in names:
        raise RefusedError(
            404,
            f"The class must be one of the {len(names)} that are there; got "
            f"{name[:60]!r}. GET /classes lists them, POST /classes adds one.",
        )


def _check_name(name: str) -> None:
    wrong = any(
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in _TURNS
        for letter in name
    )
    if wrong or not 1 <= len(name) <= _LONGEST_NAME or name != name.strip():
        raise RefusedError(
            422,
            f"name must be 1 to {_LONGEST_NAME} characters, none of them a control "
            "character, and neither begin nor end with a space; got "
            f"{name[:60]!r} of {len(name)}.",
        )
    if name in (".", ".."):
        raise RefusedError(422, f"name must not be part of a path; got {name!r}.")


def _new_label(ledger: Ledger, given: int, name: str) -> tuple[str | int, int]:
    """Return the label of a new class, and how many integers were given so far."""
    classes = ledger.base.classes_
    if classes.dtype.kind in "UO":
        return name, given
    # Never one that was given before: a head that was taken away may hold it.
    label = int(classes.max()) + 1 + given
    try:
        fits = int(np.array([label]).astype(classes.dtype)[0]) == label
    except OverflowError:
        fits = False
    if classes.dtype.kind == "b" or not fits:
        raise RefusedError(
            409,
            f"A new label must fit the type of the known ones ({classes.dtype}); "
            f"{label} does not. Fit the head with larger integers as labels.",
        )
    return label, given + 1
