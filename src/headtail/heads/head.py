"""What all heads share: their class labels, their size, and saving."""

import os
from abc import abstractmethod
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headtail.files import write_tensors
from headtail.labels import encode_labels
from headtail.tensors import shown

__all__ = ["Classes", "Head", "checked_vector", "checked_weight"]

Classes = npt.NDArray[Any] | list[Any] | tuple[Any, ...] | None


class Head(nn.Module):
    """A module from raw features [n_samples, n_features] to logits.

    Attributes
    ----------
    classes
        The label of every row, or None: then row i belongs to the i-th of the sorted
        labels it is used with.
    """

    classes: npt.NDArray[Any] | None

    @property
    @abstractmethod
    def n_classes(self) -> int:
        """Number of rows, one per class."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Length of a feature vector."""

    @abstractmethod
    def select(self, rows: Tensor, classes: Classes = None) -> "Head":
        """Return an independent head of these rows, in this order."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the head to one safetensors file; `load_head` reads it."""
        metadata: dict[str, Any] = {"head": self.spec()}
        if self.classes is not None:
            metadata["classes"] = encode_labels(self.classes)
        tensors = {f"head.{name}": value for name, value in self.state_dict().items()}
        write_tensors(path, tensors, metadata)

    def _set_classes(self, classes: Classes) -> None:
        listed = [] if classes is None else list(classes)
        if len({isinstance(label, str) for label in listed}) > 1:
            raise TypeError(
                f"classes must not mix text and numbers; got {shown(listed)}."
            )
        self.classes = None if classes is None else np.array(classes)
        if self.classes is None:
            return
        if self.classes.shape != (self.n_classes,):
            raise ValueError(
                f"classes must name each of the {self.n_classes} rows; got shape "
                f"{self.classes.shape}."
            )
        counts = Counter(self.classes.tolist())
        twice = [label for label, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"classes must be distinct; {shown(twice)} come twice.")

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"n_features={self.n_features}, n_classes={self.n_classes}"


def checked_weight(
    weight: Any, name: str = "weight", sizes: str = "[n_classes, n_features]"
) -> Tensor:
    """Return an independent copy of a matrix, of a weight if it is not named."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"{name} must be a tensor; got {type(weight).__name__}.")
    if weight.ndim != 2 or 0 in weight.shape or not weight.is_floating_point():
        raise ValueError(
            f"{name} must be a floating-point tensor {sizes}; got "
            f"{weight.dtype} of shape {list(weight.shape)}."
        )
    if not torch.isfinite(weight).all():
        bad = (~torch.isfinite(weight).all(dim=1)).nonzero().flatten()
        raise ValueError(
            f"{name} must be finite; rows {shown(bad.tolist())} hold NaN or inf."
        )
    return weight.detach().clone()


def checked_vector(vector: Any, name: str, length: int, like: Tensor) -> Tensor:
    """Return an independent copy of a vector, in dtype and device of `like`."""
    if not isinstance(vector, Tensor):
        raise TypeError(f"{name} must be a tensor; got {type(vector).__name__}.")
    if vector.shape != (length,) or not vector.is_floating_point():
        raise ValueError(
            f"{name} must be a floating-point tensor of {length} numbers; got "
            f"{vector.dtype} of shape {list(vector.shape)}."
        )
    own: Tensor = vector.detach().to(like.device, like.dtype, copy=True)
    if not torch.isfinite(own).all():  # what float16 cannot hold is inf
        raise ValueError(f"{name} must be finite; it holds NaN or inf.")
    return own
