"""Post-hoc logit adjustment: take the training prior out of the logits."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from headtail.heads import Head, affine_head
from headtail.methods.decoupled._adjusted import AdjustedClassifier
from headtail.methods.decoupled._formulas import check_prior, prior_shift

__all__ = ["LogitAdjustedClassifier"]


class LogitAdjustedClassifier(AdjustedClassifier):
    """Subtract tau · log(prior) from the logits of a trained classifier.

    The formula is that of `headtail.adjust_logits`. A base without bias gets one.

    Parameters
    ----------
    base : estimator, head, torch.nn.Linear or None
        As in `TauNormalizedClassifier`, and any head of headtail.
    tau : float or "auto"
        Factor of the log-prior: 0 is the base itself, 1 the correction for calibrated
        probabilities. ``"auto"`` takes the best of 0, 0.1, …, 3 on held-out data, by
        mean class recall and before the target prior is added.
    target_prior : array of shape (n_classes,) or None
        Shares of the classes, in the order of `classes_`, where the classifier will be
        used: positive, with sum 1. None is for data with equal shares.
    validation_fraction : float
        As in `TauNormalizedClassifier`.
    random_state : int, RandomState instance or None
        Of the held-out part, and for a base that is fitted and has none of its own.
    device : str, torch.device or None
        Where the work is done; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class, which give the prior.
    tau_ : float
        The factor that was used.
    selection_ : Selection or None
        What ``"auto"`` tried, on which data, and what came out.
    base_head_ : Head
        The base.
    head_ : LinearHead or AffineHead
        The adjusted classifier; a LinearHead if the base is one.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Menon et al. "Long-Tail Learning via Logit Adjustment." ICLR 2021, section 4.

    Examples
    --------
    >>> import torch
    >>> base = torch.nn.Linear(2, 2)
    >>> _ = base.weight.data.fill_(0.0), base.bias.data.fill_(0.0)
    >>> clf = LogitAdjustedClassifier(base).fit(torch.ones(10, 2), 9 * [0] + [1])
    >>> clf.predict_proba([[0.0, 0.0]]).round(4)
    array([[0.1, 0.9]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **AdjustedClassifier._parameter_constraints,
        "target_prior": ["array-like", torch.Tensor, None],
    }
    # What has a value for each class is None where a search leaves classes out.
    _per_class: ClassVar[tuple[str, ...]] = ("target_prior",)
    _grid: ClassVar[tuple[float, ...]] = tuple(i / 10 for i in range(31))

    def __init__(
        self,
        base: Any = None,
        *,
        tau: Any = 1.0,
        target_prior: Any = None,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.base = base
        self.tau = tau
        self.target_prior = target_prior
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def _check_settings(self) -> None:
        counts = torch.from_numpy(self.class_counts_)
        prior_shift(counts, 0.0, self._target_prior())

    def _target_prior(self) -> Tensor | None:
        if self.target_prior is None:
            return None
        given = self.target_prior
        given = given.detach().cpu() if isinstance(given, Tensor) else given
        try:
            prior = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"target_prior must be numbers; {error}.") from error
        return check_prior(torch.tensor(prior))

    def _factors(self, tau: float) -> tuple[Tensor | None, Tensor | None]:
        return None, prior_shift(torch.from_numpy(self.class_counts_), tau)

    def _adjusted(self, tau: float) -> Head:
        # Candidates are scored by mean class recall, for which all classes have equal
        # shares: so the target prior is no part of `_factors`.
        counts = torch.from_numpy(self.class_counts_)
        bias = prior_shift(counts, tau, self._target_prior())
        return affine_head(self.base_head_, bias=bias)
