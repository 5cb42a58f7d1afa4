"""Heads and networks as files that run without headtail."""

from headtail.export.file import FORMATS, export_file
from headtail.export.onnx import export_onnx
from headtail.export.stacked import StackedHead, collapse
from headtail.export.weights import export_safetensors, export_state_dict

__all__ = [
    "FORMATS",
    "StackedHead",
    "collapse",
    "export_file",
    "export_onnx",
    "export_safetensors",
    "export_state_dict",
]
