"""Where labelled examples come from."""

from headtail.datasets.digits import LongTailedDigits, long_tailed_digits
from headtail.datasets.profiles import exponential_counts, subsample

__all__ = ["LongTailedDigits", "exponential_counts", "long_tailed_digits", "subsample"]
