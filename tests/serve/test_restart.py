"""The same head live and after a restart, whatever was added and forgotten."""

from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headtail import NearestClassMeanClassifier
from headtail.serve import RefusedError, Service
from tests.serve.conftest import COUNTS, NAMES, rows, training

KINDS = ("ncm", "euclidean", "compositional", "count-aware")
NEW = ("emu", "fox", "ant", "bee")


@pytest.mark.parametrize("kind", KINDS)
def test_a_restart_gives_the_same_bytes(open_service, kind):
    service = open_service(kind)
    service.add_class("emu", rows(4))
    service.add_examples("emu", rows(4, 3, 2))
    service.add_examples("ant", rows(0))
    service.add_examples("ant", rows(0, 3, 2))
    service.forget_examples(3)
    service.forget_examples(1)
    service.forget_class("cat")
    service.add_class("cat", rows(5))
    live = service.snapshot.file()
    again = open_service(kind).snapshot
    assert (again.version, again.names) == (8, ("ant", "bee", "dog", "emu", "cat"))
    assert again.file() == live


def test_what_was_added_to_a_class_goes_with_it(open_service):
    service = open_service()
    service.add_examples("ant", rows(0))
    service.forget_class("ant")
    assert service.snapshot.names == ("bee", "cat", "dog")
    service.add_class("ant", rows(5))
    assert service.snapshot.classifier.class_counts_.tolist() == [12, 6, 3, 2]
    live = service.snapshot.file()
    assert open_service().snapshot.file() == live


def test_a_class_keeps_its_place_when_some_of_it_is_forgotten(open_service):
    service = open_service()
    service.add_class("emu", rows(4))
    service.add_class("fox", rows(5))
    service.add_examples("emu", rows(4, 3, 2))
    service.forget_examples(3)
    assert service.snapshot.names == (*NAMES, "emu", "fox")
    live = service.snapshot.file()
    assert open_service().snapshot.file() == live


def test_to_forget_what_was_added_gives_the_first_head_back(open_service):
    service = open_service("count-aware")
    before = service.snapshot.file()
    service.add_class("emu", rows(4))
    service.add_examples("ant", rows(0))
    service.forget_examples(2)
    assert service.snapshot.file() != before
    service.forget_class("emu")
    assert service.snapshot.file() == before
    assert service.snapshot.version == 4


def test_a_class_has_its_name_where_the_others_have_numbers(tmp_path):
    base = NearestClassMeanClassifier().fit(np.eye(3), [0, 1, 2])
    base.save_classifier(tmp_path / "head")
    service = Service.open(tmp_path / "head")
    new = torch.tensor([[1.0, 1.0, 0.0]])
    service.add_class("lynx", new)
    live = service.snapshot
    assert live.predict(new, top_k=1)[0]["classes"] == ["lynx"]
    assert live.names == ("0", "1", "2", "lynx")
    assert live.classifier.classes_.tolist() == [0, 1, 2, 3]
    service.close()
    again = Service.open(tmp_path / "head")
    assert again.snapshot.file() == live.file()
    again.forget_class("lynx")
    again.close()
    assert again.snapshot.names == ("0", "1", "2")


def do(service, held, step):
    """Make one change, in the service and in what it should hold."""
    kind, name, n = step
    try:
        if kind == "class":
            part = rows(len(name) + n, n, seed=service.snapshot.version)
            number = service.add_class(name, part)["id"]
            held[name] = {number: part}
        elif kind == "examples":
            part = rows(n, n, seed=service.snapshot.version)
            held[name] = {**held[name], service.add_examples(name, part)["id"]: part}
        elif kind == "forget":
            number = sorted(i for of in held.values() for i in of)[-n]
            service.forget_examples(number)
            for of in held.values():
                of.pop(number, None)
        else:
            service.forget_class(name)
            del held[name]
    except RefusedError:
        return
    except (KeyError, IndexError):
        return


STEPS = st.tuples(
    st.sampled_from(["class", "class", "examples", "examples", "forget", "drop"]),
    st.sampled_from(NEW),
    st.integers(1, 3),
)


@settings(max_examples=15)
@given(steps=st.lists(STEPS, min_size=4, max_size=12))
def test_whatever_is_done_the_head_is_that_of_what_is_left(heads, steps):
    data = training()
    parts = np.split(data.features, np.cumsum(COUNTS)[:-1])
    held = {
        name: {0: torch.from_numpy(np.asarray(part))}
        for name, part in zip(NAMES, parts, strict=True)
    }
    with TemporaryDirectory() as folder:
        journal = f"{folder}/journal"
        service = Service.open(heads("ncm"), journal)
        for step in steps:
            do(service, held, step)
        live = service.snapshot
        service.close()
        again = Service.open(heads("ncm"), journal)
        again.close()
    assert again.snapshot.file() == live.file()
    assert set(live.names) == set(held)
    # By another route: one fit on all the examples that are left.
    features = torch.cat([part for of in held.values() for part in of.values()])
    counts = {name: sum(map(len, of.values())) for name, of in held.items()}
    labels = np.repeat(list(counts), list(counts.values()))
    expected = NearestClassMeanClassifier().fit(features, labels)
    order = [live.names.index(name) for name in expected.classes_]
    assert live.classifier.class_counts_[order].tolist() == (
        expected.class_counts_.tolist()
    )
    np.testing.assert_allclose(
        live.classifier.predict_proba(features)[:, order],
        expected.predict_proba(features),
        atol=1e-6,
    )
