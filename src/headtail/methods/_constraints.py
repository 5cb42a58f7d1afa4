"""The parameter constraints of scikit-learn: private, so imported in one place."""

from sklearn.utils._param_validation import Interval, StrOptions

__all__ = ["Interval", "StrOptions"]
