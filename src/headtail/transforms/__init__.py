"""Maps of the features that are fitted to labelled data."""

from headtail.transforms.within_class_whitening import WithinClassWhitening

__all__ = ["WithinClassWhitening"]
