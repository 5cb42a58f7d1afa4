import importlib
from types import ModuleType

import pytest

import headtail
from headtail.registry import METHODS, get_method, recommended_method


def test_names_are_unique():
    names = [method.name for method in METHODS]
    assert len(set(names)) == len(names)


def test_rows_differ_in_class_or_parameters():
    # Otherwise nobody could tell by which row a classifier was made.
    rows = [(method.estimator, sorted(method.parameters.items())) for method in METHODS]
    assert all(row not in rows[:position] for position, row in enumerate(rows))


def test_classes_have_different_names():
    # A saved classifier is found again by the name of its class.
    classes = {method.estimator for method in METHODS}
    assert len({estimator.__name__ for estimator in classes}) == len(classes)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_row_builds_its_estimator_with_its_parameters(method):
    built = method.build()
    assert type(built) is method.estimator
    expected = method.estimator().get_params() | dict(method.parameters)
    assert built.get_params() == expected
    assert method.build() is not built
    defaults = method.estimator().get_params()
    assert all(defaults[name] != value for name, value in method.parameters.items())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_row_is_found_by_its_name(method):
    assert get_method(method.name) is method


def test_an_unknown_name_lists_the_known_ones():
    known = ", ".join(method.name for method in METHODS)
    with pytest.raises(ValueError, match=f"Unknown method 'tau_norm'.*: {known}"):
        get_method("tau_norm")


def test_exactly_one_method_is_recommended():
    recommended = [method for method in METHODS if method.recommended]
    assert recommended == [recommended_method()]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_estimators_are_public(method):
    assert getattr(headtail, method.estimator.__name__) is method.estimator


def test_all_is_sorted():
    assert headtail.__all__ == sorted(headtail.__all__)


def test_all_is_what_can_be_imported():
    module = importlib.import_module("headtail")
    real = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(headtail.__all__) == real | {"__version__"}
