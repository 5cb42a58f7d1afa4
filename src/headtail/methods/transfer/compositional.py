"""Compositional knowledge transfer: compose tail classifiers from head classifiers."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from headtail.heads import CosineHead, EnsembleHead, Head
from headtail.methods._base_head import (
    TrainedRows,
    base_classifier,
    fit_base,
    trained_rows,
)
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._estimator import HeadClassifier, check_directions
from headtail.methods._from_statistics import open_statistics
from headtail.methods._growth import (
    check_donors,
    grow,
    merged_classes,
    rows_at,
)
from headtail.methods.base import CosineClassifier
from headtail.methods.transfer._composition import Attention, compose, roles, shares_of
from headtail.methods.transfer._members import Member, choose_members
from headtail.statistics import ClassStatistics
from headtail.tensors import row_blocks, unit

__all__ = ["CompositionalClassifier", "TopDonors"]

# Scale of the scores where the base has none, as cosine heads start with.
_SCALE = 16.0


class TopDonors(NamedTuple):
    """For every class its strongest donors, strongest first.

    Attributes
    ----------
    classes
        Labels of the donors, (n_classes, n).
    shares
        Their shares, (n_classes, n).
    """

    classes: npt.NDArray[Any]
    shares: npt.NDArray[Any]


class CompositionalClassifier(MetaEstimatorMixin, HeadClassifier):
    """Compose each class's classifier from what well-known classes have learned.

    Every class asks, with its prototype, which donor classes' weights are near, takes
    their weighted mean, and adds it to its own prototype and weight. Nothing is
    trained but the base. Several donor thresholds make an ensemble.

    Parameters
    ----------
    base : estimator, CosineHead, LinearHead, torch.nn.Linear or None
        An unfitted estimator is cloned and fitted; None is
        ``CosineClassifier(sampling="sqrt")``. A trained head or last layer is used as
        it is and never changed; the bias of a linear one is dropped. Its rows match
        labels by value if it carries `classes`; otherwise row i is the i-th of the
        sorted labels in y.
    donors : "shots", int, "prototypes", "no-transfer" or a sequence of the last three
        The members of the ensemble. An int k is the hybrid classifier whose donors
        have more than k examples; ``"prototypes"`` classifies by prototypes alone;
        ``"no-transfer"`` by p̂ + ŵ. ``"shots"`` is (0, 20, 100) without those that no
        class exceeds.
    temperature : float
        Multiplies the cosine in the attention, as in equation 5.
    attention : str
        ``"prototype-to-weight"``, ``"weight-to-prototype"``, ``"weight-to-weight"`` or
        ``"prototype-to-prototype"``, see `compose`.
    include_weight, include_prototype : bool
        Whether ŵ and p̂ are added. ``include_weight=False`` is the continual
        classifier of equation 9.
    scale : float or None
        Scale of the scores; None is the base's own, and 16 for a linear base.
    random_state : int, RandomState instance or None
        For a base that is fitted and has none of its own.
    device : str, torch.device or None
        Where the work is done; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; those that `partial_fit` added stand at the end.
    class_counts_ : ndarray of shape (n_classes,)
        Examples per class, all of them.
    trained_counts_ : ndarray of shape (n_classes,)
        Examples when the base was trained, by which donors are chosen; 0 for a class
        without a trained weight.
    donors_ : tuple
        The members that were used.
    base_head_ : CosineHead
        The trained weights, a row of zeros for a class that has none.
    statistics_ : ClassStatistics
        What the prototypes are computed from.
    head_ : CosineHead or EnsembleHead
        The composed classifier.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Parisot et al. "Long-tail Recognition via Compositional Knowledge Transfer."
    CVPR 2022.

    Examples
    --------
    >>> import torch
    >>> from headtail import CosineHead
    >>> X = torch.tensor([[4.0, 0.0], [3.0, 0.5], [0.0, 2.0]])
    >>> base = CosineHead(torch.tensor([[1.0, 0.1], [0.6, 1.0]]))
    >>> clf = CompositionalClassifier(base, donors=1).fit(X, ["cat", "cat", "lynx"])
    >>> clf.head_.weight[1].detach()  # unit(w_kt) + p̂ + ŵ: a lynx, in part a cat
    tensor([1.5095, 1.9570])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "base": "no_validation",
        "donors": "no_validation",
        "temperature": [Interval(Real, 0, None, closed="left")],
        "attention": [StrOptions(set(get_args(Attention)))],
        "include_weight": ["boolean"],
        "include_prototype": ["boolean"],
        "scale": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
        "device": [str, torch.device, None],
    }
    _saved: ClassVar[tuple[str, ...]] = (
        "statistics_",
        "base_head_",
        "trained_counts_",
        "donors_",
    )

    _takes_untrained_classes: ClassVar[bool] = True
    _adjustable: ClassVar[frozenset[str]] = frozenset(
        {"donors", "temperature", "attention", "include_weight", "include_prototype"}
    )

    base_head_: CosineHead
    statistics_: ClassStatistics
    trained_counts_: npt.NDArray[np.int64]
    donors_: tuple[Member, ...]

    def __init__(
        self,
        base: Any = None,
        *,
        donors: Any = "shots",
        temperature: float = 10.0,
        attention: Attention = "prototype-to-weight",
        include_weight: bool = True,
        include_prototype: bool = True,
        scale: float | None = None,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.base = base
        self.donors = donors
        self.temperature = temperature
        self.attention = attention
        self.include_weight = include_weight
        self.include_prototype = include_prototype
        self.scale = scale
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> "CompositionalClassifier":
        """Fit the base, if it is not trained, and compose; X, y as in scikit-learn."""
        with self._fitting():
            features, positions = self._open_fit(X, y)
            base = base_classifier(
                self.base,
                CosineClassifier(sampling="sqrt"),
                random_state=self.random_state,
                device=self.device,
            )
            rows = None
            trained = np.ones(len(self.classes_), dtype=bool)
            if isinstance(base, Head):
                rows = trained_rows(base, self.classes_, features.shape[1])
                trained = rows.trained
            counts = np.where(trained, self.class_counts_, 0)
            members = choose_members(self.donors, counts)
            statistics = ClassStatistics(
                len(self.classes_),
                features.shape[1],
                device=self._work_device(features),
            )
            statistics.update(features, positions)
            check_directions(statistics.nonzero_counts, self.classes_)
            # The base comes after all checks of the data: it may take long.
            if rows is None:
                head = fit_base(base, X, y)
                rows = trained_rows(head, self.classes_, features.shape[1])
            self._compose_on(rows, statistics, counts, members)
        return self

    def fit_statistics(
        self, statistics: ClassStatistics, classes: npt.ArrayLike | None = None
    ) -> "CompositionalClassifier":
        """Compose from statistics of a data set in the place of its examples.

        The result is that of `fit` on the examples. `base` must be a trained head:
        statistics train none.

        Parameters
        ----------
        statistics
            Of every class at least one example that is not all zero.
        classes
            Labels of the classes; None for 0 … n_classes-1.
        """
        with self._fitting():
            statistics = open_statistics(self, statistics, classes)
            base = base_classifier(self.base, CosineClassifier())
            if not isinstance(base, Head):
                raise ValueError(
                    "base must be a trained head to compose from statistics, which "
                    f"train none; got {type(base).__name__}. Pass one, or fit on "
                    "features."
                )
            rows = trained_rows(base, self.classes_, statistics.n_features)
            counts = np.where(rows.trained, self.class_counts_, 0)
            members = choose_members(self.donors, counts)
            check_directions(statistics.nonzero_counts, self.classes_)
            self._compose_on(rows, statistics, counts, members)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: npt.ArrayLike | None = None
    ) -> "CompositionalClassifier":
        """Add examples and new classes without training.

        On an unfitted estimator this is `fit`: the first batch must hold at least two
        classes, and every class of a trained base that names its classes. Prototypes
        become those of all examples; weights, donors and scale stay. A new class has no
        trained weight: it is composed by equation 9 and never a donor. New classes come
        after the known ones. Labels outside `classes`, if given, are refused.
        """
        if not hasattr(self, "head_"):
            merged_classes(np.empty(0), y, classes)
            return self.fit(X, y)
        with self._fitting():
            self._validate_params()
            grow(self, X, y, classes)
        return self

    @property
    def attention_(self) -> list[npt.NDArray[Any]]:
        """Donors' shares: per member (n_classes, n_classes), who receives by who gives.

        A member without transfer takes nothing from anyone: all its shares are 0.
        """
        check_is_fitted(self, "head_")
        shares = []
        for donors, blocks in self._attention_blocks():
            full = np.zeros((len(self.classes_), len(self.classes_)), dtype=np.float32)
            for rows, block in blocks:
                full[rows, donors] = block.numpy()
            shares.append(full)
        return shares

    def top_donors(self, n: int = 10) -> list[TopDonors]:
        """Return per member the n strongest donors of every class, or all if fewer.

        Works in blocks of classes; a member without transfer has zero donors.
        """
        check_is_fitted(self, "head_")
        if n < 1:
            raise ValueError(f"n must be at least 1; got {n}.")
        result = []
        for donors, blocks in self._attention_blocks():
            labels, width = self.classes_[donors], min(n, len(donors))
            best = [block.topk(width, dim=1) for _, block in blocks] if width else []
            if best:
                shares = torch.cat([part.values for part in best]).numpy()
                chosen = labels[torch.cat([part.indices for part in best]).numpy()]
            else:
                shares = np.zeros((len(self.classes_), 0), dtype=np.float32)
                chosen = np.empty((len(self.classes_), 0), dtype=labels.dtype)
            result.append(TopDonors(classes=chosen, shares=shares))
        return result

    def _adjusted_to(self, candidate: Mapping[str, Any]) -> "CompositionalClassifier":
        other = copy.copy(self).set_params(**candidate)
        other._validate_params()
        other.donors_ = choose_members(other.donors, self.trained_counts_)
        return other

    def _predict_candidates(
        self, features: Tensor, candidates: Sequence[Mapping[str, Any]]
    ) -> Tensor:
        scale = self.base_head_.scale.detach()
        # Scaled once for all candidates; prototypes too.
        directions = unit(features.to(scale.device, scale.dtype))
        prototypes = self._prototypes()
        predicted = torch.empty(len(candidates), len(features), dtype=torch.int64)
        for row, candidate in zip(predicted, candidates, strict=True):
            other = self._adjusted_to(candidate)
            weights = [
                scale * unit(other._member_weight(member, prototypes))
                for member in other.donors_
            ]
            for rows in row_blocks(len(features), len(self.classes_)):
                logits = [directions[rows] @ weight.T for weight in weights]
                best = logits[0]
                if len(logits) > 1:
                    best = torch.stack([z.softmax(dim=1) for z in logits]).sum(dim=0)
                row[rows] = best.max(dim=1).indices.cpu()
        return predicted

    def _recompose(self, origins: npt.NDArray[np.int64]) -> None:
        """Compose anew for statistics and classes that have changed."""
        check_directions(self.statistics_.nonzero_counts, self.classes_)
        old = self.base_head_
        if not np.array_equal(origins, np.arange(old.n_classes)):
            counts = torch.from_numpy(self.trained_counts_)
            self.trained_counts_ = rows_at(counts, origins).numpy()
            weight = rows_at(old.weight, origins)
            self.base_head_ = CosineHead(weight, old.scale, classes=self.classes_)
        for member in self.donors_:
            if not isinstance(member, str):
                check_donors(self._donors(member).sum(), member)
        self._compose_head()

    def _compose_on(
        self,
        rows: TrainedRows,
        statistics: ClassStatistics,
        counts: npt.NDArray[np.int64],
        members: tuple[Member, ...],
    ) -> None:
        """Set what was fitted, and compose the head of it."""
        scale = rows.scale if self.scale is None else self.scale
        self.base_head_ = CosineHead(
            rows.weight.to(statistics.sums.device),
            _SCALE if scale is None else scale,
            classes=self.classes_,
        )
        self.statistics_, self.trained_counts_ = statistics, counts
        self.donors_ = members
        self._compose_head()

    def _compose_head(self) -> None:
        scale = self.base_head_.scale
        prototypes = self._prototypes()
        weights = [self._member_weight(member, prototypes) for member in self.donors_]
        if len(weights) == 1:
            self.head_ = CosineHead(weights[0], scale, classes=self.classes_)
        else:
            members = [CosineHead(weight, scale) for weight in weights]
            self.head_ = EnsembleHead(members, classes=self.classes_)

    def _prototypes(self) -> Tensor:
        return unit(self.statistics_.prototypes).to(self.base_head_.weight)

    def _trained(self) -> Tensor:
        counts = torch.from_numpy(self.trained_counts_)
        return (counts > 0).to(self.base_head_.weight.device)

    def _donors(self, member: Member) -> npt.NDArray[np.bool_]:
        if isinstance(member, str):
            return np.zeros(len(self.classes_), dtype=bool)
        return self.trained_counts_ > member

    @torch.no_grad()
    def _member_weight(self, member: Member, prototypes: Tensor) -> Tensor:
        weight = self.base_head_.weight
        if member == "prototypes":
            return prototypes
        if member == "no-transfer":
            return prototypes + unit(weight)
        return compose(
            prototypes,
            weight,
            torch.from_numpy(self._donors(member)).to(weight.device),
            trained=self._trained(),
            temperature=float(self.temperature),
            attention=self.attention,
            include_weight=self.include_weight,
            include_prototype=self.include_prototype,
        )

    @torch.no_grad()
    def _attention_blocks(
        self,
    ) -> Iterator[tuple[npt.NDArray[np.int64], Iterator[tuple[slice, Tensor]]]]:
        """Yield per member its donors' positions and the shares, block by block."""
        queries, keys = roles(
            self._prototypes(),
            unit(self.base_head_.weight.detach()),
            self._trained(),
            self.attention,
        )
        for member in self.donors_:
            donors = self._donors(member).nonzero()[0]
            yield donors, self._shares(queries, keys[torch.from_numpy(donors)])

    def _shares(self, queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
        for rows in row_blocks(len(queries), len(keys)) if len(keys) else ():
            shares = shares_of(queries[rows], keys, float(self.temperature))
            yield rows, shares.detach().cpu()
