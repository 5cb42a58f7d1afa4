"""Count-aware transfer: what a class borrows depends on how many examples it has."""

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.heads import EnsembleHead, Head, LinearHead, WhitenedHead
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._door import check_finite, computing_dtype
from headtail.methods._estimator import HeadClassifier
from headtail.methods._generator import new_generator
from headtail.methods._growth import (
    check_donors,
    grow,
    merged_classes,
    rows_at,
)
from headtail.methods._selection import Selection
from headtail.methods.transfer._balanced_training import (
    BalancedWeights,
    directions_of_rows,
    train_balanced,
)
from headtail.methods.transfer._mixture import log_prior, mixed_weight, mixture_of
from headtail.methods.transfer._mixture_search import choose_mixture
from headtail.statistics import (
    ClassStatistics,
    WithinClassScatter,
    oas_shrinkage,
    shrink,
    whitening_map,
)
from headtail.tensors import row_blocks, unit

__all__ = ["CountAwareTransferClassifier"]


class CountAwareTransferClassifier(HeadClassifier):
    """Mix each class's classifier from its own weight, its prototype and its donors'.

    Unit features are whitened by the covariance that all classes share, so that
    cosines mean the same on any representation. There a balanced softmax is trained,
    and classifiers are composed as a(n)·unit(w_kt) + b(n)·p̂ + ŵ: the fewer examples a
    class has, the more it borrows. How much, from whom, and how much of the class
    prior is taken out besides, is chosen on simulated tails; nothing else is needed.

    Parameters
    ----------
    shrinkage : float or "auto"
        Of the covariance towards a multiple of the identity, 0 … 1: 1 does not whiten.
        "auto" is OAS, see `WithinClassWhitening`; far less than 0.8 where features are
        many.
    max_head_loss : float
        What the classes with more than 100 examples may lose against a plain
        classifier, as simulated: a mean recall in 0 … 1. If every mixture loses more,
        the one that loses least is taken. Simulated tails that are too easy to choose
        on do not enforce it.
    random_state : int, RandomState instance or None
        Of the training and of the simulated tails.
    device : str, torch.device or None
        Where the work is done; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; those that `partial_fit` added stand at the end.
    class_counts_ : ndarray of shape (n_classes,)
        Examples per class, all of them.
    trained_counts_ : ndarray of shape (n_classes,)
        Examples that the weights were trained on; 0 for a class that has none.
    mixture_ : dict
        What was chosen: ``"members"`` (``"linear"``, ``"composed"`` or ``"both"``),
        ``"prior"``, ``"transfer"``, ``"prototype"``, ``"half_count"``, ``"donors"``,
        ``"temperature"``, ``"noise"``.
    selection_ : Selection or None
        The mixtures that were tried, and on which simulated tails; None where no tail
        could be simulated.
    map_ : ndarray of shape (n_features, n_features)
        The whitening map.
    center_ : ndarray of shape (n_features,)
        Mean of the classes' mean unit features.
    weight_, bias_ : ndarrays of shape (n_classes, n_features), (n_classes,)
        The balanced classifier on whitened directions; 0 for a class without.
    statistics_ : ClassStatistics
        What the prototypes are computed from.
    head_ : WhitenedHead
        All of it, on raw features.
    n_features_in_ : int
        Number of features seen during `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(np.arange(4), [60, 40, 8, 3])
    >>> X = 3 * rng.normal(size=(4, 6))[y] + rng.normal(size=(111, 6))
    >>> clf = CountAwareTransferClassifier(random_state=0).fit(X, y)
    >>> clf.mixture_["transfer"], clf.selection_  # too few classes for a simulated tail
    (0.25, None)
    >>> clf.partial_fit(-X[:1], [4]).predict(-X[:1])  # a new class from one example
    array([4])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "max_head_loss": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
        "device": [str, torch.device, None],
    }
    _saved: ClassVar[tuple[str, ...]] = (
        "statistics_",
        "trained_counts_",
        "mixture_",
        "selection_",
        "map_",
        "center_",
        "weight_",
        "bias_",
    )
    _shapes: ClassVar[dict[str, tuple[str | int, ...]]] = {
        "map_": ("n_features", "n_features"),
        "center_": ("n_features",),
        "weight_": ("n_classes", "n_features"),
    }

    statistics_: ClassStatistics
    trained_counts_: npt.NDArray[np.int64]
    mixture_: dict[str, Any]
    selection_: Selection | None
    map_: npt.NDArray[Any]
    center_: npt.NDArray[Any]
    weight_: npt.NDArray[Any]
    bias_: npt.NDArray[Any]

    def __init__(
        self,
        *,
        shrinkage: Any = 0.8,
        max_head_loss: float = 0.07,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.shrinkage = shrinkage
        self.max_head_loss = max_head_loss
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> "CountAwareTransferClassifier":
        """Whiten, train, choose a mixture and compose; X, y as in scikit-learn."""
        with self._fitting():
            features, positions = self._open_fit(X, y)
            check_finite(features)
            generator = new_generator(self.random_state)
            n_classes, device = len(self.classes_), self._work_device(features)
            scatter = WithinClassScatter(
                n_classes, features.shape[1], normalize=True, device=device
            )
            scatter.update(features, positions)
            self._fit_space(scatter, computing_dtype(features))
            map, center = self._space()
            directions = directions_of_rows(features, map, center)
            mixture, self.selection_ = choose_mixture(
                directions,
                positions,
                self._prototypes_of(features, positions),
                self.classes_,
                max_head_loss=self.max_head_loss,
                generator=generator,
            )
            self.mixture_ = mixture._asdict()
            weights = train_balanced(
                directions,
                positions,
                torch.arange(len(positions)),
                self._prototypes(),
                generator,
                noise=mixture.noise,
            )
            self.weight_, self.bias_ = (part.cpu().numpy() for part in weights)
            self.trained_counts_ = self.class_counts_.copy()
            self._compose_head()
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: npt.ArrayLike | None = None
    ) -> "CountAwareTransferClassifier":
        """Add examples and new classes without training.

        On an unfitted estimator this is `fit`. Prototypes, counts and prior become
        those of all examples; the whitening, the weights, the donors and the mixture
        stay. A new class is composed of its prototype and what it receives; with it
        the linear member, which has no row for it, leaves an ensemble. New classes
        come after the known ones. Labels outside `classes`, if given, are refused.
        """
        if not hasattr(self, "head_"):
            merged_classes(np.empty(0), y, classes)
            return self.fit(X, y)
        with self._fitting():
            self._validate_params()
            grow(self, X, y, classes)
        return self

    def _fit_space(self, scatter: WithinClassScatter, dtype: torch.dtype) -> None:
        covariance, shrinkage = scatter.covariance, self.shrinkage
        if isinstance(shrinkage, str):
            shrinkage = oas_shrinkage(covariance, scatter.degrees_of_freedom)
        self.statistics_ = scatter.statistics
        map = whitening_map(shrink(covariance, float(shrinkage)))
        center = scatter.means.mean(dim=0)
        self.map_ = map.to(dtype).cpu().numpy()
        self.center_ = center.to(dtype).cpu().numpy()

    def _space(self) -> tuple[Tensor, Tensor]:
        device = self.statistics_.sums.device
        map, center = (torch.from_numpy(part) for part in (self.map_, self.center_))
        return map.to(device), center.to(device)

    def _prototypes(self, statistics: ClassStatistics | None = None) -> Tensor:
        """Return the whitened directions of the classes' mean unit features."""
        statistics = self.statistics_ if statistics is None else statistics
        map, center = self._space()
        return unit((statistics.prototypes.to(map) - center) @ map)

    def _prototypes_of(
        self, features: Tensor, positions: Tensor
    ) -> Callable[[Tensor], Tensor]:
        def of_kept(kept: Tensor) -> Tensor:
            statistics = self.statistics_
            part = ClassStatistics(
                statistics.n_classes, statistics.n_features, device=features.device
            )
            for rows in row_blocks(*features.shape):
                mask = kept[rows]
                block = features[rows][mask.to(features.device)]
                part.update(block, positions[rows][mask])
            return self._prototypes(part)

        return of_kept

    def _check_loaded(self) -> None:
        mixture = mixture_of(self.mixture_)
        arrays = self.map_, self.center_, self.weight_, self.bias_
        kinds = {array.dtype for array in arrays}
        if len(kinds) > 1 or not kinds <= {np.dtype("float32"), np.dtype("float64")}:
            raise ValueError(
                f"map_, center_, weight_ and bias_ must be of one float type; got "
                f"{sorted(map(str, kinds))}"
            )
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("map_, center_, weight_ and bias_ must be finite")
        counts = self.trained_counts_
        whole = counts.dtype == np.int64 and (counts >= 0).all()
        if not whole or (counts > self.class_counts_).any():
            raise ValueError("trained_counts_ must be integers from 0 to class_counts_")
        if not (counts > mixture.donors).any():
            raise ValueError(f"a class must have more than {mixture.donors} examples")
        seen = self.statistics_.class_counts.cpu().numpy()
        if not np.array_equal(seen, self.class_counts_):
            raise ValueError("class_counts_ must be those of the statistics")

    def _recompose(self, origins: npt.NDArray[np.int64]) -> None:
        """Compose anew for statistics and classes that have changed."""
        for name in ("weight_", "bias_", "trained_counts_"):
            rows = torch.from_numpy(getattr(self, name))
            setattr(self, name, rows_at(rows, origins).numpy())
        threshold = self.mixture_["donors"]
        check_donors((self.trained_counts_ > threshold).sum(), threshold)
        self._compose_head()

    def _compose_head(self) -> None:
        map, center = self._space()
        mixture = mixture_of(self.mixture_)
        counts = self.statistics_.class_counts
        shift = -mixture.prior * log_prior(counts).to(map)
        weights = BalancedWeights(
            *(torch.from_numpy(part).to(map) for part in (self.weight_, self.bias_))
        )
        trained = torch.from_numpy(self.trained_counts_ > 0).to(map.device)
        members: list[Head] = []
        if mixture.members != "composed" and trained.all():
            members.append(
                LinearHead(weights.weight, weights.bias + shift, normalize=True)
            )
        if mixture.members != "linear" or not trained.all():
            donors = torch.from_numpy(self.trained_counts_ > mixture.donors)
            mixed = mixed_weight(
                self._prototypes(),
                weights.weight,
                counts,
                trained,
                donors.to(map.device),
                mixture,
            )
            scale = BalancedWeights(weights.weight[trained], weights.bias).scale
            members.append(LinearHead(scale * unit(mixed), shift, normalize=True))
        head = members[0] if len(members) == 1 else EnsembleHead(members)
        self.head_ = WhitenedHead(
            head, map, center, normalize=True, classes=self.classes_
        )
