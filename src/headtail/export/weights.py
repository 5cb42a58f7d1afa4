"""The tensors of a head or a network, for those who bring their own code."""

import io
import json
import os
from collections.abc import Sequence

import torch
from safetensors.torch import save
from torch import Tensor, nn

from headtail.export.naming import exported_names
from headtail.files import naming_failure, written_whole
from headtail.heads import Head
from headtail.training import ImageClassifier

__all__ = ["export_safetensors", "export_state_dict"]


def export_state_dict(
    model: Head | ImageClassifier, path: str | os.PathLike[str]
) -> None:
    """Write the state dict with `torch.save`: a dict of tensors, nothing else.

    ``torch.load(path, weights_only=True)`` reads it. The same model gives the same
    bytes, whatever the file is called.
    """
    buffer = io.BytesIO()
    torch.save(_tensors(model), buffer)
    with written_whole(path) as temporary, naming_failure(path):
        temporary.write_bytes(buffer.getvalue())


def export_safetensors(
    model: Head | ImageClassifier,
    path: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
) -> None:
    """Write the state dict as safetensors, under the names it has in torch.

    The metadata hold one JSON text, ``model``: the type of the head with its constants
    as `Head.spec` gives them, and the names of the classes where they are known. Unlike
    what `Head.save` writes, the file is not read by `load_head`.

    Parameters
    ----------
    model
        What is written.
    path
        The file.
    class_names
        In the order of the rows; None for those the model knows.
    """
    head = model.head if isinstance(model, ImageClassifier) else model
    facts = {"head": head.spec(), "class_names": exported_names(model, class_names)}
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    # One key: the format keeps several in no fixed order, and bytes would differ.
    content = save(_tensors(model), metadata={"model": text})
    with written_whole(path) as temporary, naming_failure(path):
        temporary.write_bytes(content)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
