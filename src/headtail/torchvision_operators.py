"""Torchvision beside a torch without its operators: declare them, then import.

A torchvision built for CUDA beside a CPU-only torch cannot load its compiled part. Its
import then fails with "operator torchvision::nms does not exist", although images and
classifiers need none of these operators. This file is the one place that knows.
"""

import importlib
import re
import sys
import threading
from types import ModuleType

import torch

__all__ = ["import_torchvision"]

_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
# Detection has about a dozen operators; more refusals than that are another fault.
_MOST = 32

# A library that is collected takes its declarations along.
_declared: list[torch.library.Library] = []
_lock = threading.Lock()


def import_torchvision() -> ModuleType:
    """Return torchvision, on machines where it cannot load its operators too.

    Where torchvision works by itself, this is ``import torchvision``. Where its import
    fails because an operator does not exist, that operator is declared, without an
    implementation, and the import is tried again. Calling such an operator is still an
    error. Whatever imports torchvision, such as timm, can be imported afterwards.

    Raises
    ------
    ImportError
        If torchvision is not installed.

    Examples
    --------
    >>> import_torchvision().__name__
    'torchvision'
    """
    with _lock:
        for _ in range(_MOST):
            try:
                return importlib.import_module("torchvision")
            except ModuleNotFoundError as error:
                if error.name != "torchvision":
                    raise
                raise ImportError(
                    "torchvision must be installed for images; it is not. Install it: "
                    "pip install 'headtail[vision]'."
                ) from error
            except RuntimeError as error:
                missing = _MISSING.search(str(error))
                if missing is None:
                    raise
                operator = missing.group(1)
            _forget("torchvision")
            _declare(operator)
        raise ImportError(
            f"torchvision must import once its operators are declared; after {_MOST} "
            "of them it still does not. Install the build of torchvision that belongs "
            f"to torch {torch.__version__}."
        )


def _declare(operator: str) -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    # Nothing calls it, so that its arguments do not matter.
    library.define(f"{operator}(...) -> ...")  # type: ignore[no-untyped-call]
    _declared.append(library)


def _forget(package: str) -> None:
    """Remove what a failed import left behind.

    Python keeps the submodules that were imported, but a new import of the package
    would not have them as attributes.
    """
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]
