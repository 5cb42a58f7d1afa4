"""A head that is read by many and changed by one at a time."""

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from headtail.files import existing_file
from headtail.matching import class_names_of
from headtail.registry import METHODS, load_classifier
from headtail.serve.errors import RefusedError
from headtail.serve.journal import Journal
from headtail.serve.ledger import Ledger
from headtail.serve.plans import (
    Plan,
    new_class,
    new_examples,
    without_class,
    without_examples,
)
from headtail.serve.records import Once
from headtail.serve.snapshot import Snapshot
from headtail.tensors import shown

__all__ = ["Service", "head_fingerprint"]


class Service:
    """A served head: a snapshot that readers take, and changes that are kept.

    A reader takes `snapshot` once and works on it; it never waits for a writer. A
    writer builds the next classifier, has the journal keep the change, and only then
    puts the new snapshot in place.

    Parameters
    ----------
    classifier
        Fitted; it is never changed.
    journal
        Of this head; None for a head that takes no changes.

    Attributes
    ----------
    snapshot : Snapshot
        The state now.

    Examples
    --------
    >>> from headtail import NearestClassMeanClassifier
    >>> ncm = NearestClassMeanClassifier().fit([[3.0, 0.0], [0.0, 2.0]], ["a", "b"])
    >>> Service(ncm).snapshot.names
    ('a', 'b')
    """

    def __init__(self, classifier: Any, journal: Journal | None = None) -> None:
        names = class_names_of(classifier)
        if len(set(names)) < len(names):
            twice = sorted(name for name, n in Counter(names).items() if n > 1)
            raise ValueError(
                f"The classes of a head must have distinct names; {shown(twice)} come "
                "twice. Name them anew."
            )
        self._base, self._journal = classifier, journal
        self._lock, self._closed = threading.Lock(), False
        self._ledger = Ledger(classifier)
        version = 0
        if journal is not None:
            version = journal.sequence
            try:
                self._ledger = self._ledger.after(journal.changes())
                self.snapshot = self._build(self._ledger, version)
            except (RefusedError, TypeError, ValueError, OverflowError) as error:
                raise ValueError(
                    f"{journal.path} must hold changes that fit the head; {error}. Put "
                    "a copy in its place, or move it away to begin with the head alone."
                ) from error
        else:
            self.snapshot = self._build(self._ledger, version)

    @classmethod
    def open(
        cls,
        head: str | os.PathLike[str],
        journal: str | os.PathLike[str] | None = None,
    ) -> "Service":
        """Open a file of `headtail fit` and the journal that belongs to it.

        Parameters
        ----------
        head
            The file; it is never written.
        journal
            None for the name of the head with ``.journal`` behind it. A head whose
            method takes no examples without training has none.

        Raises
        ------
        OSError
            If a file cannot be read or written, or another process has the journal.
        ValueError
            If a file is damaged, or the journal is of another head.
        """
        # The file behind a link: two names of one head must not get two journals.
        head = existing_file(head).resolve()
        classifier = load_classifier(head)
        if not hasattr(classifier, "partial_fit"):
            if journal is not None:
                raise ValueError(f"{_unchanging(classifier)} Leave the journal out.")
            return cls(classifier)
        path = head.with_name(f"{head.name}.journal") if journal is None else journal
        opened = Journal(path, head_fingerprint(head), classifier.n_features_in_)
        try:
            return cls(classifier, opened)
        except BaseException:
            opened.close()
            raise

    @property
    def n_features(self) -> int:
        """Length of the feature vectors that the head takes."""
        return int(self._base.n_features_in_)

    def add_class(
        self, name: str, features: Tensor, once: Once | None = None
    ) -> dict[str, int]:
        """Add a class from examples [n_samples, n_features].

        Parameters
        ----------
        name
            New: 1 to 200 characters.
        features
            At least one row, finite.
        once
            A key of the client; with one that came before, nothing is done, and the
            answer is that of the first time.

        Returns
        -------
        answer
            ``version`` of the new state, ``id`` of the examples, ``n_examples`` of the
            class now.

        Raises
        ------
        RefusedError
            If the change cannot be made. Nothing has changed then.
        OSError
            If it cannot be kept. Nothing has changed then.
        """
        return self._change(new_class, (name, features), once)

    def add_examples(
        self, name: str, features: Tensor, once: Once | None = None
    ) -> dict[str, int]:
        """Add examples to a class that is there; see `add_class`."""
        return self._change(new_examples, (name, features), once)

    def forget_class(self, name: str, once: Once | None = None) -> dict[str, int]:
        """Take a class away, and all its examples out of the journal.

        The file of the head keeps what is in it.
        """
        return self._change(without_class, (name,), once)

    def forget_examples(self, number: int, once: Once | None = None) -> dict[str, int]:
        """Take the examples of one request out of the journal, by its `id`."""
        return self._change(without_examples, (number,), once)

    def close(self) -> None:
        """Wait for a change that is under way, and close the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
            self._closed = True

    @property
    def _kept(self) -> Journal:
        if self._closed:
            raise RefusedError(503, "The server must be running; it is closing.")
        if not hasattr(self._base, "partial_fit"):
            raise RefusedError(409, _unchanging(self._base))
        if self._journal is None:
            raise RefusedError(409, "A journal must keep changes; there is none.")
        return self._journal

    def _change(
        self, plan: Callable[..., Plan], given: tuple[Any, ...], once: Once | None
    ) -> dict[str, int]:
        with self._lock:
            journal = self._kept
            told = None if once is None else journal.answered(once)
            if told is not None:
                return told
            try:
                ledger, entry = plan(self._ledger, journal, *given)
                snapshot = self._build(ledger, entry.sequence)
            except RefusedError:
                raise
            except ValueError as error:  # of the method, about what would be left
                status = 422 if plan in (new_class, new_examples) else 409
                raise RefusedError(status, str(error)) from error
            journal.commit(entry, once)
            self._ledger, self.snapshot = ledger, snapshot
            # The change is kept, come what may; the next one settles what is left.
            with suppress(OSError):
                journal.settle()
        return entry.answer

    def _build(self, ledger: Ledger, version: int) -> Snapshot:
        n_base = len(self._base.classes_) - len(ledger.dropped)
        return Snapshot(version, ledger.classifier(), n_base)


def head_fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a hash of a file's bytes, by which a journal knows its head."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def _unchanging(classifier: Any) -> str:
    able = [m.name for m in METHODS if hasattr(m.build(), "partial_fit")]
    return (
        f"The head must be of a method that takes examples without training ({able}); "
        f"it is a {type(classifier).__name__}. Fit one of them."
    )
