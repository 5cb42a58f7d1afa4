"""Changes of a service: what they lead to, and that none is half done."""

import errno
import sqlite3

import numpy as np
import pytest
import torch
from safetensors import safe_open

from headtail import NearestClassMeanClassifier
from headtail.serve import Once, RefusedError, Service
from headtail.serve.journal import Journal
from tests.serve.conftest import NAMES, fitted, rows

KINDS = ("ncm", "euclidean", "compositional", "count-aware")


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_gives_the_head_of_partial_fit(open_service, kind):
    service = open_service(kind)
    service.add_class("emu", rows(4))
    service.add_examples("dog", rows(3))
    expected = fitted(kind).partial_fit(rows(4), [4, 4]).partial_fit(rows(3), [3, 3])
    snapshot = service.snapshot
    assert snapshot.version == 2
    assert snapshot.names == (*NAMES, "emu")
    assert snapshot.classifier.class_counts_.tolist() == [30, 12, 6, 5, 2]
    test = rows(3, 20, 5)
    np.testing.assert_array_equal(
        snapshot.classifier.predict_proba(test), expected.predict_proba(test)
    )


def test_labels_are_never_given_twice(open_service):
    service = open_service()
    service.add_class("emu", rows(4))
    service.forget_class("emu")
    service.add_class("fox", rows(4))
    assert service.snapshot.classifier.classes_.tolist() == [0, 1, 2, 3, 5]
    service = open_service()
    service.add_class("gnu", rows(5))
    assert service.snapshot.classifier.classes_.tolist() == [0, 1, 2, 3, 5, 6]


def test_text_labels_are_the_names(tmp_path):
    base = NearestClassMeanClassifier().fit(np.eye(2), ["ant", "bee"])
    base.save_classifier(tmp_path / "head")
    service = Service.open(tmp_path / "head")
    service.add_class("a longer name", torch.tensor([[1.0, 1.0]]))
    service.forget_class("ant")
    service.add_class("ant", torch.tensor([[-1.0, 0.0]]))
    live = service.snapshot
    assert live.classifier.classes_.tolist() == ["bee", "a longer name", "ant"]
    service.close()
    again = Service.open(tmp_path / "head")
    again.close()
    assert again.snapshot.file() == live.file()


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (lambda s: s.add_class("ant", rows(4)), 409, "'ant' is taken"),
        (lambda s: s.add_class("", rows(4)), 422, "name must be 1 to 200"),
        (lambda s: s.add_class("x" * 201, rows(4)), 422, "of 201"),
        (lambda s: s.add_class("a\nb", rows(4)), 422, r"control character.*'a\\nb'"),
        (lambda s: s.add_class("a\u202eb", rows(4)), 422, "control character"),
        (lambda s: s.add_class(" a", rows(4)), 422, "begin nor end with a space"),
        (lambda s: s.add_class("..", rows(4)), 422, "part of a path"),
        (lambda s: s.add_class("emu", torch.zeros(1, 6)), 422, "not all zero"),
        (lambda s: s.add_examples("emu", rows(4)), 404, "one of the 4 that are there"),
        (lambda s: s.forget_class("emu"), 404, "got 'emu'"),
        (lambda s: s.forget_examples(1), 404, "got 1"),
        (lambda s: s.forget_examples(10**30), 404, "got 1000"),
    ],
)
def test_a_change_that_is_refused_changes_nothing(service, change, status, message):
    before = service.snapshot
    with pytest.raises(RefusedError, match=message) as refused:
        change(service)
    assert refused.value.status == status
    assert service.snapshot is before
    assert service.add_class("fine", rows(4))["version"] == 1


def test_a_class_keeps_an_example_and_a_head_two_classes(service):
    first = service.add_class("emu", rows(4))["id"]
    with pytest.raises(RefusedError, match="only ones of 'emu'"):
        service.forget_examples(first)
    for name in ("ant", "bee", "cat"):
        service.forget_class(name)
    with pytest.raises(RefusedError, match="At least 2 classes must be left") as last:
        service.forget_class("dog")
    assert last.value.status == 409
    assert service.snapshot.names == ("dog", "emu")


def test_the_last_donor_stays(open_service):
    service = open_service("compositional")
    service.forget_class("bee")
    with pytest.raises(RefusedError, match="trained on more than 10 examples"):
        service.forget_class("ant")
    assert service.snapshot.names == ("ant", "cat", "dog")


@pytest.mark.parametrize("kind", ["linear", "centered"])
def test_a_method_without_partial_fit_answers_and_does_not_change(open_service, kind):
    service = open_service(kind)
    assert service.snapshot.predict(rows(0), top_k=1)[0]["classes"] == ["ant"]
    with pytest.raises(
        RefusedError, match="takes examples without training"
    ) as refused:
        service.add_class("emu", rows(4))
    assert refused.value.status == 409
    with pytest.raises(ValueError, match="Leave the journal out"):
        open_service(kind, journal="a")


def test_a_key_that_comes_again_is_answered_as_the_first_time(open_service):
    service = open_service()
    once = Once("k", "hash")
    told = service.add_examples("ant", rows(0), once)
    service.add_examples("ant", rows(0))
    assert service.add_examples("ant", rows(0), once) == told
    service = open_service()
    assert service.add_examples("ant", rows(0), once) == told
    assert service.snapshot.classifier.class_counts_[0] == 34
    with pytest.raises(RefusedError, match="stand for one request"):
        service.add_examples("ant", rows(0), Once("k", "another"))


def test_a_refused_key_may_come_again(service):
    once = Once("k", "hash")
    with pytest.raises(RefusedError):
        service.add_examples("emu", rows(4), once)
    service.add_class("emu", rows(4))
    assert service.add_examples("emu", rows(4), once)["version"] == 2


def test_a_change_that_was_kept_but_not_shown_is_there_after_a_restart(
    open_service, monkeypatch
):
    class PowerCutError(BaseException):
        pass

    service = open_service()
    commit = Journal.commit

    def cut(self, *given):
        commit(self, *given)
        raise PowerCutError

    monkeypatch.setattr(Journal, "commit", cut)
    with pytest.raises(PowerCutError):
        service.add_class("emu", rows(4))
    assert service.snapshot.version == 0
    monkeypatch.undo()
    again = open_service().snapshot
    assert (again.version, again.names[-1]) == (1, "emu")


def test_what_is_not_built_is_not_kept(open_service, monkeypatch):
    service = open_service()
    monkeypatch.setattr(Service, "_build", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        service.add_class("emu", rows(4))
    monkeypatch.undo()
    assert open_service().snapshot.version == 0


def test_on_a_full_disk_nothing_changes_and_later_all_is_well(open_service):
    service = open_service()
    service.add_class("emu", rows(4))
    before = service.snapshot
    db = service._journal._db
    (used,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {used}")
    with pytest.raises(OSError, match="must have room") as full:  # noqa: PT012
        for seed in range(100):
            before = service.snapshot
            service.add_examples("emu", rows(4, 2, seed))
    assert full.value.errno == errno.ENOSPC
    assert service.snapshot is before
    db.execute("PRAGMA max_page_count = 1000000")
    assert service.add_class("fox", rows(5))["version"] == before.version + 1
    live = service.snapshot.file()
    assert open_service().snapshot.file() == live


def test_a_reader_keeps_its_snapshot(service):
    before = service.snapshot
    seen = before.predict(rows(0))
    service.forget_class("ant")
    assert before.predict(rows(0)) == seen
    assert service.snapshot.predict(rows(0))[0]["classes"][0] != "ant"


def test_after_closing_nothing_changes(service):
    service.close()
    with pytest.raises(RefusedError, match="it is closing") as refused:
        service.add_class("emu", rows(4))
    assert refused.value.status == 503
    assert service.snapshot.predict(rows(0), top_k=1)[0]["classes"] == ["ant"]


def test_two_names_of_a_head_have_one_journal(open_service, tmp_path):
    open_service()
    (tmp_path / "link").symlink_to(tmp_path / "ncm.safetensors")
    with pytest.raises(OSError, match="another one has it"):
        Service.open(tmp_path / "link")


def test_the_file_is_a_classifier(service, tmp_path):
    service.add_class("emu", rows(4))
    path = tmp_path / "taken"
    path.write_bytes(service.snapshot.file())
    with safe_open(path, "pt") as file:
        assert file.get_tensor("head.weight").shape == (5, 6)


def test_donors_are_those_of_the_method(open_service):
    snapshot = open_service("compositional").snapshot
    (row,) = snapshot.predict(rows(0, 1), explain=True)
    # What the estimator says itself, as a mean over its two members.
    shares = np.mean(snapshot.classifier.attention_, axis=0)[0]
    best = np.argsort(-shares, kind="stable")
    assert [d["class"] for d in row["donors"]] == [NAMES[i] for i in best]
    np.testing.assert_allclose([d["share"] for d in row["donors"]], shares[best], 1e-5)
    assert open_service("ncm").snapshot.predict(rows(0), explain=True)[0]["donors"] is (
        None
    )


def test_a_journal_that_does_not_fit_the_head_is_refused(open_service, tmp_path):
    open_service().add_class("emu", rows(4))
    journal = tmp_path / "ncm.safetensors.journal"
    open_service("linear")
    with sqlite3.connect(journal) as db:
        db.execute("UPDATE changes SET kind = 'examples', label = NULL")
    db.close()
    with pytest.raises(ValueError, match=r"changes that fit the head; change 1 \(exam"):
        open_service()
