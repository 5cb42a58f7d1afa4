import gc
import subprocess
import sys

import pytest
import torch

from headtail import torchvision_operators
from headtail.torchvision_operators import import_torchvision


def test_torchvision_and_timm_import_together():
    torchvision = import_torchvision()
    import timm

    assert torchvision is sys.modules["torchvision"]
    assert torchvision.transforms.functional is not None
    assert timm.list_models("resnet18") == ["resnet18"]


def test_a_second_call_gives_the_same_module_and_declares_nothing():
    first, declared = import_torchvision(), len(torchvision_operators._declared)
    assert import_torchvision() is first
    assert len(torchvision_operators._declared) == declared


@pytest.fixture
def untouched(monkeypatch):
    """Keep the true torchvision as it is, and count declarations from zero."""
    monkeypatch.setattr(torchvision_operators, "_forget", lambda package: None)
    monkeypatch.setattr(torchvision_operators, "_declared", [])


def importing(monkeypatch, *outcomes):
    """Make the next imports raise these errors, or give these modules."""
    left = iter(outcomes)

    def import_module(name):
        assert name == "torchvision"
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(torchvision_operators.importlib, "import_module", import_module)


def missing(operator):
    return RuntimeError(f"operator torchvision::{operator} does not exist")


def test_a_torchvision_that_works_gets_no_declarations(monkeypatch, untouched):
    importing(monkeypatch, sys)
    assert import_torchvision() is sys
    assert torchvision_operators._declared == []


def test_each_missing_operator_is_declared(monkeypatch, untouched):
    importing(monkeypatch, missing("headtail_a"), missing("headtail_b"), sys)
    assert import_torchvision() is sys
    gc.collect()
    for name in ("headtail_a", "headtail_b"):
        assert hasattr(torch.ops.torchvision, name)
    with pytest.raises(RuntimeError):
        torch.ops.torchvision.headtail_a(torch.zeros(1))


def test_an_import_that_failed_leaves_no_submodule_without_its_package(tmp_path):
    # In a Python of its own: the import of torchvision cannot be taken back.
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "extension.py").write_text("")
    (package / "__init__.py").write_text(
        "import torch, torchvision.extension\n"
        "torch.library.register_fake('torchvision::headtail_c')(lambda x: x)\n"
        "torchvision.extension\n"
    )
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"names = runpy.run_path({torchvision_operators.__file__!r})\n"
        "assert names['import_torchvision']().extension\n"
        "assert len(names['_declared']) == 1\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("compiled with different CUDA major versions"),
        ModuleNotFoundError("No module named 'absent'", name="absent"),
    ],
)
def test_other_faults_stay_errors(monkeypatch, untouched, error):
    importing(monkeypatch, error)
    with pytest.raises(type(error), match=str(error)):
        import_torchvision()
    assert torchvision_operators._declared == []


def test_a_torchvision_without_end_of_missing_operators(monkeypatch, untouched):
    importing(monkeypatch, *[missing(f"headtail_d{n}") for n in range(32)])
    with pytest.raises(ImportError, match=r"after 32 of them it still does not\. Inst"):
        import_torchvision()


def test_without_torchvision_the_error_says_what_to_install(monkeypatch):
    importing(monkeypatch, ModuleNotFoundError("No module", name="torchvision"))
    with pytest.raises(ImportError, match=r"pip install 'headtail\[vision\]'"):
        import_torchvision()
