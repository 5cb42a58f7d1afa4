"""Search for parameters on simulated tails, in the style of scikit-learn's searches."""

import os
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from headtail.methods._base_head import has_trained_head
from headtail.methods._constraints import Interval
from headtail.methods._door import check_finite
from headtail.methods._estimator import HeadClassifier
from headtail.methods._selection import Selection
from headtail.methods._simulated_tails import (
    SimulatedTail,
    cut_head_classes,
    weighted_recall,
)
from headtail.selection.trials import candidate_recalls, keeps_leaked_rows

__all__ = ["SimulatedTailSearch"]


class SimulatedTailSearch(MetaEstimatorMixin, HeadClassifier):
    """Choose parameters on head classes that are cut down to a few examples.

    A tail has no examples to spare for validation. So some head classes are made a
    tail, the method is fitted as if they were one, and every candidate is scored on
    the examples held back, see `cut_head_classes` and `weighted_recall`. The best
    candidate is then fitted on all data. Candidates that differ only in what a fitted
    estimator can change (tau, or donors and temperature) share one fit.

    Parameters
    ----------
    estimator : estimator
        Unfitted; cloned. Its base should be an estimator too, which is fitted on the
        cut data. A trained head has learned from the examples held back, and
        `selection_` says optimistic. `CompositionalClassifier` can do without the rows
        of the cut classes, which are dropped; other methods cannot, and a warning says
        so.
    grid : dict of lists, or list of such
        Parameters and their candidate values, as in scikit-learn's `ParameterGrid`.
    shots : sequence of int or None
        Examples that cut classes keep; None for powers of two like the real tail.
    cut_fraction : float
        Share of the head classes that are cut.
    n_repeats : int
        Simulated tails to average over.
    max_held_back : int
        Examples to score on, at most, in each; of every scored class there is one.
    refit : bool
        Whether the best candidate is fitted on all data; without it there is nothing
        to predict with.
    random_state : int, RandomState instance or None
        Of the cuts, and for an estimator that has none of its own.

    Attributes
    ----------
    best_params_ : dict
        The chosen candidate.
    best_score_ : float
        Its score.
    best_estimator_ : estimator
        It, fitted on all data.
    results_ : dict
        ``"params"``, and arrays of length n_candidates: ``"score"``, its spread over
        repeats ``"score_std"``, and the mean recalls ``"tail_recall"`` of the cut and
        ``"head_recall"`` of the other scored classes.
    selection_ : Selection
        The candidates, their scores, and on what they rest.
    classes_, class_counts_, head_, n_features_in_
        Those of the fitted estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from headtail import LinearClassifier, LogitAdjustedClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(np.arange(5), [90, 70, 50, 40, 5])
    >>> X = rng.normal(size=(5, 8))[y] + rng.normal(size=(255, 8))
    >>> estimator = LogitAdjustedClassifier(LinearClassifier(learning_rate=0.5))
    >>> grid = {"tau": [0.0, 1.0, 100.0]}
    >>> search = SimulatedTailSearch(estimator, grid, random_state=0)
    >>> search.fit(X, y).best_params_
    {'tau': 1.0}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": "no_validation",
        "grid": [dict, list],
        "shots": ["array-like", None],
        "cut_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "max_held_back": [Interval(Integral, 1, None, closed="left")],
        "refit": ["boolean"],
        "random_state": ["random_state"],
    }

    best_params_: dict[str, Any]
    best_score_: float
    best_estimator_: Any
    results_: dict[str, Any]
    selection_: Selection

    def __init__(
        self,
        estimator: Any,
        grid: Any,
        *,
        shots: Sequence[int] | None = None,
        cut_fraction: float = 0.25,
        n_repeats: int = 1,
        max_held_back: int = 20_000,
        refit: bool = True,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.grid = grid
        self.shots = shots
        self.cut_fraction = cut_fraction
        self.n_repeats = n_repeats
        self.max_held_back = max_held_back
        self.refit = refit
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "SimulatedTailSearch":
        """Search on features X with labels y, and fit the best candidate on them."""
        with self._fitting():
            features, positions = self._open_fit(X, y)
            check_finite(features)
            if not hasattr(self.estimator, "fit"):
                raise TypeError(
                    "estimator must be an unfitted classifier; got "
                    f"{type(self.estimator).__name__}."
                )
            candidates = list(ParameterGrid(self.grid))
            if not candidates:
                raise ValueError("grid must hold at least one candidate; got none.")
            for fitted in ("best_estimator_", "head_"):
                self.__dict__.pop(fitted, None)  # those of an earlier fit
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            estimator = self._seeded(seed)
            generator = torch.Generator().manual_seed(seed)
            tried = [clone(estimator).set_params(**c) for c in candidates]
            for one in tried:
                if isinstance(one, HeadClassifier):
                    one._validate_params()
            optimistic = any(has_trained_head(one) for one in tried)
            if any(keeps_leaked_rows(one) for one in tried):
                warnings.warn(
                    f"{type(estimator).__name__} has a trained head as base, which may "
                    "have learned from the examples held back: the scores are "
                    "optimistic. Pass an unfitted base, which is fitted on the cut "
                    "data.",
                    stacklevel=2,
                )
            tails, recalls = [], []
            for _ in range(self.n_repeats):
                tail = cut_head_classes(
                    positions,
                    shots=self.shots,
                    cut_fraction=self.cut_fraction,
                    max_held_back=self.max_held_back,
                    generator=generator,
                )
                tails.append(tail)
                recalls.append(
                    candidate_recalls(
                        estimator, candidates, features, positions, self.classes_, tail
                    )
                )
            self._record(candidates, tails, recalls, optimistic)
            if self.refit:
                best = clone(estimator).set_params(**self.best_params_)
                self.best_estimator_ = best.fit(X, y)
                if hasattr(best, "head_"):
                    self.head_ = best.head_
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict with the best estimator."""
        return self._best().predict(X)

    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """Return the class probabilities of the best estimator."""
        return self._best().predict_proba(X)

    def decision_function(self, X: Any) -> npt.NDArray[Any]:
        """Return the logits of the best estimator."""
        return self._best().decision_function(X)

    def save_classifier(self, path: str | os.PathLike[str]) -> None:
        """Write the best estimator, as its own `save_classifier` does."""
        self._best().save_classifier(path)

    def _best(self) -> Any:
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_

    def _seeded(self, seed: int) -> Any:
        estimator = clone(self.estimator)
        if estimator.get_params().get("random_state", 0) is None:
            estimator.set_params(random_state=seed)
        return estimator

    def _record(
        self,
        candidates: list[dict[str, Any]],
        tails: list[SimulatedTail],
        recalls: list[Tensor],
        optimistic: bool,
    ) -> None:
        counts = torch.from_numpy(self.class_counts_)
        pairs = list(zip(tails, recalls, strict=True))
        scores = torch.stack(
            [
                # What a class holds back does not move it to another shot group.
                weighted_recall(
                    r, torch.where(tail.cut, tail.class_counts, counts), counts
                )
                for tail, r in pairs
            ]
        )
        mean = scores.mean(dim=0).numpy()
        best = int(mean.argmax())
        self.results_ = {
            "params": candidates,
            "score": mean,
            "score_std": scores.std(dim=0, correction=0).numpy(),
            "tail_recall": _mean([r[:, tail.cut] for tail, r in pairs]),
            "head_recall": _mean([r[:, ~tail.cut] for tail, r in pairs]),
        }
        self.best_params_, self.best_score_ = candidates[best], float(mean[best])
        scored = torch.stack([~r[0].isnan() for r in recalls]).any(dim=0).numpy()
        self.selection_ = Selection(
            candidates=tuple(candidates),
            scores=mean,
            best_index=best,
            data=_described(tails, optimistic),
            n_samples=sum(int(tail.held_back.sum()) for tail in tails),
            missing_classes=self.classes_[~scored],
            optimistic=optimistic,
        )


def _described(tails: list[SimulatedTail], optimistic: bool) -> str:
    text = f"{len(tails)} simulated tail(s) of {int(tails[0].cut.sum())} cut class(es)"
    if optimistic:
        text += "; a given head has seen what the other head classes hold back"
    return text


def _mean(recalls: list[Tensor]) -> npt.NDArray[np.float64]:
    return torch.cat(recalls, dim=1).nanmean(dim=1).numpy()
