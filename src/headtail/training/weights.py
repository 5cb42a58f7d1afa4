"""Weights of a backbone from a file, whatever training code wrote around them."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from headtail.files import MISFITS, open_error
from headtail.tensors import shown

__all__ = ["load_weights"]

# What training code puts around a state dict, and before its names.
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "backbone",
    "state_dict_best",  # of the Decoupling code
    "feat_model",
)
_PREFIXES = {
    "_orig_mod",
    "backbone",
    "base_encoder",
    "encoder",
    "encoder_q",
    "model",
    "module",
    "network",
}
# First words of what comes after the features: classifiers and projections.
_HEADS = {
    "classifier",
    "fc",
    "head",
    "head_dist",
    "last_linear",
    "linear",
    "predictor",
    "projection_head",
    "projector",
}


def load_weights(network: nn.Module, path: Path, name: str) -> None:
    """Load the weights in a file into a backbone's network, if they are those of one.

    Whatever wraps them, and the classifier or projection beside them, is left out.

    Parameters
    ----------
    network
        Changed in place.
    path
        A ``.safetensors`` file, or one that `torch.load` reads with
        ``weights_only=True``.
    name
        What the error for a file of another architecture calls the network.
    """
    expected = network.state_dict()
    tensors = _own(_read(path), expected)
    # Counters of batches are missing in files of old versions; nothing here uses them.
    missing = [
        key
        for key in expected.keys() - tensors.keys()
        if key.rpartition(".")[2] != "num_batches_tracked"
    ]
    left = [
        key
        for key in tensors.keys() - expected.keys()
        if key.partition(".")[0] not in _HEADS
    ]
    shared = expected.keys() & tensors.keys()
    misshapen = [key for key in shared if tensors[key].shape != expected[key].shape]
    if missing or left or misshapen:
        changed = [
            f"{key} {list(tensors[key].shape)} for {list(expected[key].shape)}"
            for key in misshapen
        ]
        lists = {"missing": missing, "unknown": left, "of another shape": changed}
        said = "; ".join(f"{k}: {shown(sorted(v), 3)}" for k, v in lists.items() if v)
        raise ValueError(
            f"{path} must hold the weights of {name}; of its {len(expected)} "
            f"tensors {len(shared) - len(misshapen)} fit ({said}). Name the "
            "architecture that the file was saved from, or pass a file of this one."
        )
    network.load_state_dict({key: tensors[key] for key in shared}, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file, out of whatever wraps them."""
    content: Any
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise open_error(path, error, "safetensors file") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, OSError, RuntimeError, *MISFITS) as error:
        # Not torch's text: it proposes to run the code in the file.
        raise ValueError(
            f"{path} must be a checkpoint of tensors alone, which torch.load reads "
            f"with weights_only=True; reading it failed ({type(error).__name__}). "
            "Where you trust it, save its tensors again: "
            "torch.save(model.state_dict(), path)."
        ) from error
    for wrapper in _WRAPPERS * 2:  # a wrapper may lie within a later one
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    items = content.items() if isinstance(content, Mapping) else ()
    tensors = {k: v for k, v in items if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(
            f"{path} must hold a state dict, tensors by their names; it holds none. "
            "Save it again: torch.save(model.state_dict(), path)."
        )
    return tensors


def _own(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the tensors below the prefix with which most names fit, without it.

    What lies beside a prefix is another part of a larger model.
    """
    prefixes = {""}
    for name in tensors:
        prefix = ""
        for word in name.split(".")[:-1]:
            if word not in _PREFIXES:
                break
            prefix += f"{word}."
            prefixes.add(prefix)

    def fit(prefix: str) -> tuple[int, int, int]:
        found = [(tensors.get(prefix + name), e) for name, e in expected.items()]
        both = [t.shape == e.shape for t, e in found if t is not None]
        return sum(both), len(both), -len(prefix)

    best = max(sorted(prefixes), key=fit)
    return {k.removeprefix(best): t for k, t in tensors.items() if k.startswith(best)}
