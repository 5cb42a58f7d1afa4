"""The colours of figures for paper; those of the page stand in its style sheet."""

__all__ = ["AFTER", "BEFORE", "GAIN", "GROUPS", "LOSS", "OTHER"]

GROUPS = {"many": "#3f7cb8", "medium": "#d0992a", "few": "#b03a68", "all": "#4d565c"}
BEFORE, AFTER, GAIN, LOSS = "#7a858d", "#1f5fa8", "#12876a", "#c2521b"
# Of classes beyond the third in a map.
OTHER = "0.6"
