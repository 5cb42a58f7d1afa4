"""Which examples a training epoch shows."""

from headtail.samplers.class_sampling import (
    Sampling,
    class_probabilities,
    draw_class_aware,
    draw_epochs,
)

__all__ = ["Sampling", "class_probabilities", "draw_class_aware", "draw_epochs"]
