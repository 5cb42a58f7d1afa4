"""AlphaNet: compose few-shot classifiers from those of the nearest base classes."""

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from headtail.heads import LinearHead, linear_form
from headtail.methods._base_head import fitted_base, has_trained_head
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._door import check_finite
from headtail.methods._estimator import HeadClassifier
from headtail.methods._frozen import frozen_logits
from headtail.methods._generator import new_generator
from headtail.methods._selection import Selection
from headtail.methods._validation import HeldOut, hold_out_or_open
from headtail.methods.decoupled.crt import RetrainedClassifier
from headtail.methods.transfer._coefficient_training import epoch_recalls
from headtail.methods.transfer._coefficients import compose_rows
from headtail.methods.transfer._train_alphanet import (
    FIRST_EPOCH,
    Trained,
    Variant,
    train_alphanet,
)
from headtail.statistics import shot_groups

__all__ = ["AlphaNetClassifier"]

Criterion = Literal["few", "overall"]
_CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


class AlphaNetClassifier(MetaEstimatorMixin, HeadClassifier):
    """Compose each few-shot class's classifier from its own and its neighbours'.

    The neighbours are the base classes (20 examples and more) whose mean features are
    nearest; the coefficients are learned, the base classes' classifiers stay. Of the
    epochs the one that is best on held-out data is kept, by the few-shot classes and
    by all classes.

    Parameters
    ----------
    base : estimator, head, torch.nn.Linear or None
        An unfitted estimator is cloned and fitted; None is ``RetrainedClassifier()``.
        A trained head or last layer is used as it is and never changed; its rows match
        labels as in `TauNormalizedClassifier`. Its class scales, if any, are folded
        into its weights first; a cosine head becomes a linear one on unit features.
    variant : {"per-class", "direct", "shared"}
        The paper's network per class; its coefficients learned directly, without
        networks; or the authors' later single network, where a class's own coefficient
        is 1 and its bias stays.
    n_neighbors : int
        Neighbours of each few-shot class, K; all base classes if they are fewer.
    gamma : float
        Most that the own coefficient counts, 0 to 1; the others count at least
        (1 - gamma) / K. A small one gives more to the few-shot classes. Not used by
        ``"shared"``.
    n_components : int or "auto"
        Principal components of the weights that the networks of ``"per-class"`` see;
        ``"auto"`` is min(500, n_features, n_classes - 1).
    select : {"overall", "few"}
        By what the epoch is chosen: mean recall of all classes, or of the few-shot
        ones. Both are in `best_coefficients_`.
    base_ratio : float
        Base-class examples in an epoch, for each few-shot example: the rho of the code.
    epochs : int or None
        None is 100, and 25 for ``"shared"``.
    learning_rate : float or None
        Of SGD, 0.1, or of AdamW for ``"shared"``, 0.001; it falls to a tenth every 20,
        or 10, epochs.
    batch_size : int
        Examples of a step.
    validation_fraction : float
        Share of the training data that is held out for the choice, class by class,
        where `fit` is given no validation data.
    random_state : int, RandomState instance or None
        Makes the draws repeatable, and is for a base that is fitted and has none.
    device : str, torch.device or None
        Where the work is done; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class.
    few_classes_ : ndarray of shape (n_few,)
        Positions in `classes_` of the few-shot classes that were composed.
    neighbors_ : ndarray of shape (n_few, K)
        Positions of their neighbours, nearest first.
    neighbor_distances_ : ndarray of shape (n_few, K)
        Distances of the mean features.
    coefficients_ : ndarray of shape (n_few, K + 1)
        The coefficients in use, the own one first.
    best_coefficients_ : ndarray of shape (2, n_few, K + 1)
        Those of the epoch best for the few-shot classes, and best overall.
    selection_ : Selection or None
        The epochs, their scores by `select`, and on which data; None if there was
        nothing to compose.
    base_head_ : LinearHead
        The base, as one linear head.
    head_ : LinearHead
        The base with the rows of the few-shot classes composed.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Chang et al. "Alpha Net: Adaptation with Composition in Classifier Space."
    arXiv:2008.07073, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.0, 0.9], [0.7, 0.6]])
    >>> X = np.repeat(X, [20, 20, 20, 20, 8], axis=0)
    >>> y = np.repeat([0, 1, 2], [40, 40, 8])
    >>> clf = AlphaNetClassifier(n_neighbors=2, epochs=5, random_state=0).fit(X, y)
    >>> clf.few_classes_, clf.neighbors_, clf.coefficients_.shape
    (array([2]), array([[0, 1]]), (1, 3))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "base": "no_validation",
        "variant": [StrOptions(set(get_args(Variant)))],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "select": [StrOptions(set(_CRITERIA))],
        "base_ratio": [Interval(Real, 0, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "device": [str, torch.device, None],
    }
    _saved: ClassVar[tuple[str, ...]] = (
        "few_classes_",
        "neighbors_",
        "neighbor_distances_",
        "coefficients_",
        "best_coefficients_",
        "selection_",
        "base_head_",
    )
    _shapes: ClassVar[dict[str, tuple[str | int, ...]]] = {
        "few_classes_": ("n_few",),
        "neighbors_": ("n_few", "K"),
        "neighbor_distances_": ("n_few", "K"),
        "coefficients_": ("n_few", "K + 1"),
        "best_coefficients_": (2, "n_few", "K + 1"),
    }

    few_classes_: npt.NDArray[np.int64]
    neighbors_: npt.NDArray[np.int64]
    neighbor_distances_: npt.NDArray[np.float64]
    coefficients_: npt.NDArray[Any]
    best_coefficients_: npt.NDArray[Any]
    selection_: Selection | None
    base_head_: LinearHead
    head_: LinearHead

    def __init__(
        self,
        base: Any = None,
        *,
        variant: Variant = "per-class",
        n_neighbors: int = 5,
        gamma: float = 0.6,
        n_components: Any = "auto",
        select: Criterion = "overall",
        base_ratio: float = 1.0,
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int = 64,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.base = base
        self.variant = variant
        self.n_neighbors = n_neighbors
        self.gamma = gamma
        self.n_components = n_components
        self.select = select
        self.base_ratio = base_ratio
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def fit(
        self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None
    ) -> "AlphaNetClassifier":
        """Fit the base, if it is not trained, and learn the coefficients.

        The epoch is chosen on a part of the training data that is held out; base and
        coefficients are then learned again from all of it. `validation`, a pair (X, y),
        takes the place of the part: one training is enough.
        """
        with self._fitting():
            features, positions = self._open_fit(X, y)
            check_finite(features)
            few = shot_groups(self.class_counts_).few
            self._check_components(features.shape[1])
            self.few_classes_ = few.nonzero()[0]
            if few.all() or not few.any():
                self._keep_base(features, positions)
            else:
                self._compose(features, positions, validation)
        return self

    def best_head(self, select: Criterion) -> LinearHead:
        """Return the composed head of the epoch best by `select`."""
        if select not in _CRITERIA:
            raise ValueError(f"select must be 'few' or 'overall'; got {select!r}.")
        check_is_fitted(self, "head_")
        return self._composed(self.best_coefficients_[_CRITERIA.index(select)])

    def _check_components(self, n_features: int) -> None:
        most = min(n_features, len(self.classes_) - 1)
        if self.variant != "per-class" or self.n_components == "auto":
            return
        if self.n_components > most:
            raise ValueError(
                "n_components must be at most min(n_features, n_classes - 1); got "
                f"{self.n_components} for {n_features} features and "
                f"{len(self.classes_)} classes. Use at most {most}, or 'auto'."
            )

    def _keep_base(self, features: Tensor, positions: Tensor) -> None:
        """Use the base as it is: there is nobody to give, or nobody to receive."""
        lacking = "few-shot" if not len(self.few_classes_) else "base"
        warnings.warn(
            f"There is no {lacking} class; few-shot ones have fewer than 20 examples, "
            f"and the counts go from {self.class_counts_.min()} to "
            f"{self.class_counts_.max()}. The base stays as it is.",
            stacklevel=3,
        )
        self.base_head_ = self._fitted_base(features, positions)
        self.head_ = self.base_head_.select(
            torch.arange(len(self.classes_)), self.classes_
        )
        self.few_classes_ = np.empty(0, dtype=np.int64)
        self.neighbors_ = np.empty((0, self.n_neighbors), dtype=np.int64)
        self.neighbor_distances_ = np.empty((0, self.n_neighbors))
        self.best_coefficients_ = np.empty((2, 0, self.n_neighbors + 1))
        self.coefficients_ = self.best_coefficients_[0].copy()
        self.selection_ = None

    def _compose(
        self, features: Tensor, positions: Tensor, validation: tuple[Any, Any] | None
    ) -> None:
        n_base = len(self.classes_) - len(self.few_classes_)
        if n_base < self.n_neighbors:
            warnings.warn(
                f"n_neighbors is {self.n_neighbors}; base classes, of 20 examples and "
                f"more, are only {n_base}: all of them are neighbours.",
                stacklevel=3,
            )
        generator = new_generator(self.random_state)
        optimistic = validation is None and has_trained_head(self)
        if optimistic:
            warnings.warn(
                "The epoch is chosen on training data that the given head may have "
                "been trained on: the choice is optimistic. Pass validation=(X, y) to "
                "fit.",
                stacklevel=3,
            )
        part = hold_out_or_open(
            self, features, positions, validation, generator, "AlphaNet"
        )
        learned, labels = features, positions
        if part.kept is not None:
            learned = features[part.kept.to(features.device)]
            labels = positions[part.kept]
        trial = self._trained(learned, labels, generator)
        recalls = epoch_recalls(
            trial.history,
            trial.composition,
            frozen_logits(trial.head, part.features),
            part.positions,
        ).numpy()
        epochs = self._choose(recalls, part, optimistic)
        final = trial
        if part.kept is not None:
            final = self._trained(features, positions, generator)
        self._keep(final, epochs)

    def _choose(
        self,
        recalls: npt.NDArray[np.float64],
        part: HeldOut,
        optimistic: bool,
    ) -> list[int]:
        """Return the epochs best for the few-shot classes, and overall."""
        missing = np.isnan(recalls[0])
        scores = {"overall": recalls[:, ~missing].mean(axis=1)}
        measured = self.few_classes_[~missing[self.few_classes_]]
        if not len(measured):
            warnings.warn(
                "No few-shot class has a held-out example: the epoch best for them "
                "is that which is best overall. Pass validation=(X, y) to fit.",
                stacklevel=4,
            )
            scores["few"] = scores["overall"]
        else:
            scores["few"] = recalls[:, measured].mean(axis=1)
        first = min(FIRST_EPOCH[self.variant], len(recalls)) - 1
        best = {name: first + int(s[first:].argmax()) for name, s in scores.items()}
        self.selection_ = Selection(
            candidates=tuple({"epochs": e + 1} for e in range(first, len(recalls))),
            scores=scores[self.select][first:],
            best_index=best[self.select] - first,
            data=part.data,
            n_samples=len(part.positions),
            missing_classes=self.classes_[missing],
            optimistic=optimistic,
        )
        return [best[name] for name in _CRITERIA]

    def _keep(self, trained: Trained, epochs: list[int]) -> None:
        self.base_head_ = trained.head
        self.neighbors_ = trained.composition.vectors[:, 1:].cpu().numpy()
        self.neighbor_distances_ = trained.distances.cpu().numpy()
        self.best_coefficients_ = trained.history[epochs].cpu().numpy()
        self.coefficients_ = self.best_coefficients_[
            _CRITERIA.index(self.select)
        ].copy()
        self.head_ = self._composed(self.coefficients_)

    def _fitted_base(self, features: Tensor, positions: Tensor) -> LinearHead:
        default = RetrainedClassifier()
        return linear_form(fitted_base(self, default, features, positions))

    def _trained(
        self, features: Tensor, positions: Tensor, generator: torch.Generator
    ) -> Trained:
        """Fit the base and train the coefficients; nothing is chosen here."""
        return train_alphanet(
            self._fitted_base(features, positions),
            features,
            positions,
            torch.from_numpy(self.few_classes_),
            variant=self.variant,
            n_neighbors=self.n_neighbors,
            gamma=float(self.gamma),
            n_components=None if self.n_components == "auto" else self.n_components,
            base_ratio=float(self.base_ratio),
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            generator=generator,
        )

    @torch.no_grad()
    def _composed(self, coefficients: npt.NDArray[Any]) -> LinearHead:
        """Return the base head with composed rows in the place of few-shot ones."""
        base = self.base_head_
        alpha = torch.from_numpy(coefficients).to(base.weight)
        own = self.few_classes_[:, None]
        vectors = torch.from_numpy(np.hstack([own, self.neighbors_]))
        vectors = vectors.to(alpha.device)
        few = vectors[:, 0]
        weight = base.weight.index_copy(
            0, few, compose_rows(alpha, base.weight, vectors)
        )
        bias: Tensor | None = base.bias
        if bias is not None and self.variant != "shared":
            bias = bias.index_copy(0, few, compose_rows(alpha, bias, vectors))
        return LinearHead(
            weight,
            bias,
            center=base.center,
            normalize=base.normalize,
            classes=self.classes_,
        )

    def _check_loaded(self) -> None:
        if not isinstance(self.base_head_, LinearHead):
            raise ValueError("base_head_ must be a linear head")
        positions = np.concatenate([self.few_classes_, self.neighbors_.ravel()])
        known = np.isin(positions, np.arange(len(self.classes_))).all()
        if positions.dtype != np.int64 or not known:
            raise ValueError("few_classes_ and neighbors_ must be positions of classes")
        if np.isin(self.neighbors_, self.few_classes_).any():
            raise ValueError("neighbors_ must be no few-shot classes")
        width = self.neighbors_.shape[1] + 1
        for name in ("coefficients_", "best_coefficients_"):
            values = getattr(self, name)
            if values.shape[-1] != width or not np.isfinite(values).all():
                raise ValueError(f"{name} must hold {width} finite numbers per class")
