"""Modules from features to logits, ready to take the place of a last layer."""

from headtail.heads.affine import AffineHead, affine_head
from headtail.heads.attach import attach, head_of, last_layer_name
from headtail.heads.causal_norm import CausalNormHead, causal_norm_logits
from headtail.heads.cosine import CosineHead
from headtail.heads.disalign import DisAlignHead, align_logits
from headtail.heads.ensemble import EnsembleHead
from headtail.heads.files import build_head, load_head
from headtail.heads.head import Head
from headtail.heads.linear import LinearHead
from headtail.heads.linear_form import linear_form
from headtail.heads.whitened import WhitenedHead, whitened_head

__all__ = [
    "AffineHead",
    "CausalNormHead",
    "CosineHead",
    "DisAlignHead",
    "EnsembleHead",
    "Head",
    "LinearHead",
    "WhitenedHead",
    "affine_head",
    "align_logits",
    "attach",
    "build_head",
    "causal_norm_logits",
    "head_of",
    "last_layer_name",
    "linear_form",
    "load_head",
    "whitened_head",
]
