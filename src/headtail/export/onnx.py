"""Heads and networks as ONNX graphs that were run and compared before they are kept."""

import copy
import json
import os
import warnings
from collections.abc import Sequence
from functools import reduce
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from headtail.export.naming import exported_names
from headtail.export.stacked import collapse
from headtail.files import naming_failure, written_whole
from headtail.heads import Head
from headtail.training import ImageClassifier
from headtail.version import __version__

__all__ = ["OPSET", "export_onnx"]

# What torch's exporter is written in; a later one is converted from it.
OPSET = 18
# Of the largest logit, what the graph may differ by.
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
# Batch sizes that it is compared on; the last is what it is traced with.
_BATCHES = (1, 3)
# What one protobuf message can hold, less a little for the graph itself.
_LARGEST = 2**31 - 2**22


class _Network(nn.Module):
    """From pixels to logits: normalisation, backbone, head."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: ImageClassifier) -> None:
        super().__init__()
        self.network = model.backbone.network
        self.head = collapse(model.head)
        for name in ("mean", "std"):
            values = torch.tensor(getattr(model.preprocessing, name)) * 255
            self.register_buffer(name, values)

    def forward(self, images: Tensor) -> Tensor:
        pixels = (images - self.mean) / self.std
        logits: Tensor = self.head(self.network(pixels.permute(0, 3, 1, 2)).float())
        return logits


def export_onnx(
    model: Head | ImageClassifier,
    path: str | os.PathLike[str],
    *,
    opset: int = OPSET,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
) -> None:
    """Write a head or a network as one ONNX file, checked against PyTorch.

    The graph of a head goes from ``features`` [batch, n_features] to ``logits`` [batch,
    n_classes], that of a network from ``images``, uint8 [batch, height, width, 3] as
    `Preprocessing.prepare` gives them; it normalises them itself. An ensemble gives
    log-probabilities, as in PyTorch. The properties of the model are `class_names` (a
    JSON list), `n_features`, and `preprocessing` (JSON) of a network.

    A head in float64 takes and gives float64, one in 16 bits takes and gives float32.
    The graph is run by onnxruntime on batches of one and three; if its logits differ
    from PyTorch's by more than 1e-5 of the largest (1e-10 in float64), nothing is
    written. The same model gives the same bytes.

    Parameters
    ----------
    model
        Left as it is.
    path
        The file.
    opset
        Of ONNX's operators, at least 18.
    class_names
        In the order of the rows; None for those the model knows.
    image_size
        Height and width of a network's images, for one without a size of its own.

    Raises
    ------
    ImportError
        If the packages of ``headtail[onnx]`` are not installed.
    ValueError
        If the model cannot be written as a graph, or the graph differs from it.
    """
    onnx, runtime = _import_onnx()
    if not isinstance(opset, int) or opset < OPSET:
        raise ValueError(f"opset must be an integer of at least {OPSET}; got {opset}.")
    names = exported_names(model, class_names)
    properties = {} if names is None else {"class_names": _json(names)}
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    if isinstance(model, ImageClassifier):
        shape = _image_shape(model, image_size)
        properties["n_features"] = str(model.backbone.n_features)
        properties["preprocessing"] = _json(model.preprocessing.spec())
        model.float()
        graph: nn.Module = _Network(model)
        examples = [_images(n, shape) for n in _BATCHES]
        name, dtype = "images", torch.float32
    else:
        if image_size is not None:
            raise ValueError(
                f"image_size is for networks; got {image_size} for a head."
            )
        properties["n_features"] = str(model.n_features)
        dtype = _to_full_precision(model)
        graph = collapse(model)
        examples = [_features(n, model.n_features, dtype) for n in _BATCHES]
        name = "features"
    content = _graph(onnx, graph, examples[-1], name, opset, properties)
    for inputs in examples:
        _check_parity(runtime, content, name, inputs, _expected(model, inputs), dtype)
    with written_whole(path) as temporary, naming_failure(path):
        temporary.write_bytes(content)


def _import_onnx() -> tuple[ModuleType, ModuleType]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch.onnx.export works with it
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "onnxruntime", "onnxscript"):
            raise
        raise ImportError(
            f"{error.name} must be installed to export to ONNX; it is not. Install it: "
            "pip install 'headtail[onnx]'."
        ) from error
    return onnx, onnxruntime


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _to_full_precision(head: Head) -> torch.dtype:
    """Give a head in 16 bits 32, in place; return the widest dtype it computes in."""
    for tensor in (*head.parameters(), *head.buffers()):
        if tensor.dtype.itemsize < 4:
            tensor.data = tensor.data.float()
    tensors = [*head.parameters(), *head.buffers()]
    return reduce(torch.promote_types, [tensor.dtype for tensor in tensors])


def _image_shape(model: ImageClassifier, image_size: int | None) -> tuple[int, ...]:
    own = model.preprocessing.size
    if own is not None and image_size not in (None, own):
        raise ValueError(
            f"image_size must be {own}, the size of the network's preprocessing; got "
            f"{image_size}."
        )
    size = own or image_size
    if size is None or size < 1:
        raise ValueError(
            "image_size must be given, in pixels, for a network that takes images of "
            f"any size; got {image_size}."
        )
    return (size, size, 3)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _features(n_samples: int, n_features: int, dtype: torch.dtype) -> Tensor:
    """Return random features; of several, the last is zero."""
    drawn = torch.randn(n_samples, n_features, generator=_generator(), dtype=dtype)
    drawn[1:][-1:] = 0
    return drawn


def _images(n_samples: int, shape: tuple[int, ...]) -> Tensor:
    """Return random images; of several, the last is black."""
    size = (n_samples, *shape)
    drawn = torch.randint(256, size, generator=_generator(), dtype=torch.uint8)
    drawn[1:][-1:] = 0
    return drawn


@torch.no_grad()
def _expected(model: Head | ImageClassifier, inputs: Tensor) -> Tensor:
    """Return what the model itself says, by its own code and not by the graph's."""
    if isinstance(model, ImageClassifier):
        inputs = model.preprocessing.normalize(inputs)
    logits: Tensor = model(inputs)
    return logits


def _graph(
    onnx: ModuleType,
    graph: nn.Module,
    inputs: Tensor,
    name: str,
    opset: int,
    properties: dict[str, str],
) -> bytes:
    """Return the bytes of the ONNX model, without traces of where it was made."""
    size = sum(t.numel() * t.element_size() for t in graph.state_dict().values())
    if size > _LARGEST:
        raise ValueError(
            "The model must have less than 2 GB of weights to be one ONNX file; it "
            f"has {size / 1e9:.1f} GB. Export its state dict instead."
        )
    try:
        # torch warns about its own insides here.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", FutureWarning)
            program = torch.onnx.export(
                graph.eval(),
                (inputs,),
                dynamo=True,
                input_names=[name],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:  # torch.export raises whatever the model's code does
        raise ValueError(
            "The model must be one that torch.onnx can trace; it is not "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). Export its state "
            "dict instead."
        ) from error
    assert program is not None  # as dynamo=True returns it
    proto = program.model_proto
    proto.producer_name, proto.producer_version = "headtail", __version__
    proto.graph.name = "headtail"
    del proto.graph.value_info[:]
    graph_parts = (*proto.graph.node, *proto.graph.initializer)
    ends = (*proto.graph.input, *proto.graph.output)
    for part in (proto, proto.graph, *graph_parts, *ends):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.helper.set_model_props(proto, properties)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _check_parity(
    runtime: ModuleType,
    content: bytes,
    name: str,
    inputs: Tensor,
    expected: Tensor,
    dtype: torch.dtype,
) -> None:
    """Refuse a graph that onnxruntime does not run to the same logits."""
    try:
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {name: inputs.numpy()})
    except Exception as error:  # onnxruntime has no base class for its own
        raise ValueError(
            f"The graph must run in onnxruntime on a batch of {len(inputs)}; it does "
            f"not ({str(error).splitlines()[0]}). Nothing is written; export the state "
            "dict instead."
        ) from error
    difference = (torch.from_numpy(logits) - expected).abs()
    largest, tolerance = expected.abs().max().item(), _TOLERANCE[dtype]
    if not (difference <= tolerance * largest).all():  # NaN is not small either
        place = difference.nan_to_num(torch.inf).argmax().item()
        row, column = divmod(int(place), expected.shape[1])
        raise ValueError(
            f"The graph must give the model's logits to {tolerance:g} of the largest; "
            f"in a batch of {len(inputs)}, class {column} of row {row} is "
            f"{logits[row, column]:g} in onnxruntime {runtime.__version__} and "
            f"{expected[row, column]:g} in torch {torch.__version__}. Nothing is "
            "written; export the state dict instead, or try another opset."
        )
