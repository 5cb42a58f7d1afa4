"""Which examples a training epoch shows."""

from headtail.samplers.class_sampler import ClassSampler
from headtail.samplers.class_sampling import (
    Sampling,
    class_probabilities,
    draw_by_weight,
    draw_class_aware,
    draw_epochs,
    epoch_size,
)
from headtail.samplers.subset import capped_counts, choose_per_class, hold_out
from headtail.samplers.windows import in_windows

__all__ = [
    "ClassSampler",
    "Sampling",
    "capped_counts",
    "choose_per_class",
    "class_probabilities",
    "draw_by_weight",
    "draw_class_aware",
    "draw_epochs",
    "epoch_size",
    "hold_out",
    "in_windows",
]
