"""What the functions of this room accept: arrays and tensors alike."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

__all__ = ["as_numpy"]


def as_numpy(values: Any) -> npt.NDArray[Any]:
    """Return labels, counts or numbers as an array, from any device."""
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    # NumPy has no bfloat16.
    return np.asarray(values.double() if values.is_floating_point() else values)
