"""Modules from features to logits, ready to take the place of a last layer."""

from headtail.heads.cosine import CosineHead
from headtail.heads.ensemble import EnsembleHead
from headtail.heads.files import build_head, load_head
from headtail.heads.head import Head
from headtail.heads.linear import LinearHead

__all__ = [
    "CosineHead",
    "EnsembleHead",
    "Head",
    "LinearHead",
    "build_head",
    "load_head",
]
