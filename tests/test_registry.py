import importlib
from types import ModuleType

import pytest

import headtail
from headtail.registry import METHODS, get_method, recommended_method


def test_names_are_unique():
    names = [method.name for method in METHODS]
    assert len(set(names)) == len(names)


def test_estimators_are_unique():
    # A saved classifier is found again by the name of its class.
    names = [method.estimator.__name__ for method in METHODS]
    assert len(set(names)) == len(names)


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
