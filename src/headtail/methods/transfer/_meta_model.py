"""What MetaModelNet and model regression share: a network from weights to weights."""

import warnings
from abc import abstractmethod
from itertools import product
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from headtail.heads import LinearHead
from headtail.labels import positions_of
from headtail.methods._chain import Chain, entry_blocks
from headtail.methods._constraints import Interval, StrOptions
from headtail.methods._door import check_finite, computing_dtype
from headtail.methods._estimator import HeadClassifier
from headtail.methods._generator import new_generator
from headtail.methods._selection import Selection, mean_recalls
from headtail.methods._validation import HeldOut, hold_out_or_open
from headtail.methods.transfer._bank import Scaled, scaled_features
from headtail.methods.transfer._meta_training import (
    Plan,
    Ready,
    Recipe,
    SplitFeatures,
    mean_lengths,
    moved,
    prepare,
    starts_of,
    train_plan,
    usable_shots,
)
from headtail.methods.transfer._shot_models import (
    Solver,
    many_shot_model,
    shot_models,
)
from headtail.methods.transfer._shot_settings import (
    checked_n_models,
    checked_shots,
    is_int,
)
from headtail.tensors import row_blocks, shown

__all__ = ["MetaModelClassifier"]

_PERFORMANCE_WEIGHTS = (0.1, 1.0, 10.0)


class MetaModelClassifier(HeadClassifier):
    """Base of the classifiers that map few-shot to many-shot weights; see there."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "shots": "no_validation",
        "n_models": "no_validation",
        "solver": [StrOptions(set(get_args(Solver)))],
        "penalty": [Interval(Real, 0, None, closed="neither")],
        "performance_weight": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "steps": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "device": [str, torch.device, None],
    }
    _saved: ClassVar[tuple[str, ...]] = (
        "shots_",
        "blocks_",
        "chain_",
        "unit_",
        "plain_head_",
        "few_shot_weight_",
        "model_shots_",
        "lengths_",
        "selection_",
    )
    _shapes: ClassVar[dict[str, tuple[str | int, ...]]] = {
        "few_shot_weight_": ("n_classes", "n_features"),
        "lengths_": ("len(model_shots_)", 3),
    }

    shots: Any
    n_models: Any
    solver: Solver
    penalty: float
    performance_weight: Any
    steps: int
    learning_rate: float
    validation_fraction: float
    random_state: Any
    device: Any

    shots_: tuple[int, ...]
    blocks_: npt.NDArray[np.int64]
    chain_: Chain
    unit_: float
    plain_head_: LinearHead
    few_shot_weight_: npt.NDArray[Any]
    model_shots_: tuple[int, ...]
    lengths_: npt.NDArray[np.float64]
    selection_: Selection | None
    head_: LinearHead

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation: tuple[Any, Any] | None = None,
        split_features: SplitFeatures | None = None,
    ) -> "MetaModelClassifier":
        """Learn few-shot and many-shot models, and the network between them.

        Where there is a choice, it is made on a part of the training data that is held
        out; then all is learned again from all data. `validation`, a pair (X, y), takes
        the place of the part: one training is enough.

        `split_features`, if given, is called for each split with the labels of its head
        classes and the rows of X that may be learned from; it returns features of all
        examples, rows and columns as in X, from a network that was fine-tuned on those
        classes and rows. X itself holds the features that the head will be used with.
        """
        with self._fitting():
            features, positions = self._open_fit(X, y)
            check_finite(features)
            shots = checked_shots(self.shots, self.class_counts_)
            recipe = Recipe(
                solver=self.solver,
                penalty=float(self.penalty),
                n_models=checked_n_models(self.n_models, shots),
                steps=self.steps,
                learning_rate=float(self.learning_rate),
            )
            usable = usable_shots(self.class_counts_, shots)
            try:
                if (self.class_counts_ < 2 * max(usable, default=0)).any():
                    self._move(
                        features, positions, usable, recipe, validation, split_features
                    )
                else:
                    self._keep_plain(features, positions)
            except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
                raise ValueError(
                    "penalty must be large enough for the equations to be solved; "
                    f"{self.penalty:g} is not ({error}). Raise it."
                ) from error
        return self

    @abstractmethod
    def _plans(self, shots: tuple[int, ...]) -> list[Plan]:
        """Return the networks to choose from, for a bank of these shots."""

    def trajectory(
        self, label: Any, *, start: Literal["own", "few-shot"] = "own"
    ) -> npt.NDArray[Any]:
        """Return how a class's weight moves through the blocks.

        ``"own"`` starts with the weight learned from all of the class's examples, at
        the block of their number, and ends with the row of `head_`; the weight of a
        class that enters no block stays. ``"few-shot"`` starts with a weight learned
        from as few examples as the first block is for, and passes all blocks.

        Returns
        -------
        weights
            Of shape (number of blocks passed + 1, n_features), in units of the head.
        """
        check_is_fitted(self, "head_")
        if start not in ("own", "few-shot"):
            raise ValueError(f"start must be 'own' or 'few-shot'; got {start!r}.")
        row = int(positions_of(np.asarray([label]), self.classes_)[0])
        if row < 0:
            raise ValueError(
                f"label must be one of classes_; got {shown([label])}. They are "
                f"{shown(self.classes_)}."
            )
        weight, first = self.plain_head_.weight[row].detach(), int(self.blocks_[row])
        if start == "few-shot":
            weight, first = torch.from_numpy(self.few_shot_weight_[row]).to(weight), 0
            if weight.isnan().any():
                raise ValueError(
                    f"Class {shown([label])} has fewer examples than the first block "
                    "is for, so it has no few-shot weight. Use start='own'."
                )
        steps = [weight[None] * self.unit_]
        with torch.no_grad():
            for block in range(first, self.chain_.n_blocks):
                steps.append(self.chain_.step(block, steps[-1]))
        return (torch.cat(steps) / self.unit_).cpu().numpy()

    def _keep_plain(self, features: Tensor, positions: Tensor) -> None:
        """Use the plain classifier: nobody to learn from, or nobody to move."""
        warnings.warn(
            "There is nothing to transfer: that takes two classes of at least 3 "
            "examples to learn from, and one with less than twice the largest of "
            f"shots; the counts go from {self.class_counts_.min()} to "
            f"{self.class_counts_.max()}. The plain classifier stays as it is.",
            stacklevel=3,
        )
        scaled = scaled_features(features, positions, self._like(features))
        weight = many_shot_model(
            scaled.features, positions, solver=self.solver, penalty=float(self.penalty)
        )
        self.plain_head_ = self._head(weight, scaled, 1.0)
        self.head_ = self._head(weight, scaled, 1.0)
        self.few_shot_weight_ = np.full(weight.shape, np.nan)
        self.chain_ = Chain(0, features.shape[1]).to(weight)
        self.blocks_ = np.zeros(len(self.classes_), dtype=np.int64)
        self.shots_, self.model_shots_ = (), ()
        self.unit_, self.selection_ = 1.0, None
        self.lengths_ = np.empty((0, 3))

    def _move(
        self,
        features: Tensor,
        positions: Tensor,
        shots: tuple[int, ...],
        recipe: Recipe,
        validation: tuple[Any, Any] | None,
        split_features: SplitFeatures | None,
    ) -> None:
        """Choose where there is a choice, train the chain, and move the weights."""
        generator = new_generator(self.random_state)
        common: dict[str, Any] = {
            "like": self._like(features),
            "generator": generator,
            "split_features": split_features,
        }
        weights: tuple[float, ...] = _PERFORMANCE_WEIGHTS
        if self.performance_weight != "auto":
            weights = (float(self.performance_weight),)
        plans = self._plans(shots)
        plan, weight, chain, ready = plans[0], weights[0], None, None
        self.selection_ = None
        if len(plans) * len(weights) > 1:
            part = hold_out_or_open(
                self, features, positions, validation, generator, type(self).__name__
            )
            if part.kept is not None:
                self._check_kept(positions[part.kept], shots)
            ready = prepare(
                features,
                positions,
                self.classes_,
                shots,
                recipe,
                kept=part.kept,
                **common,
            )
            candidates = list(product(self._plans(ready.shots), weights))
            chains = [train_plan(ready, *c, recipe, generator) for c in candidates]
            best = self._select(ready, candidates, chains, part)
            (plan, weight), chain = candidates[best], chains[best]
            del chains
            if part.kept is not None:  # the bank may take gigabytes: one at a time
                chain = ready = None
        elif validation is not None:
            raise ValueError(
                "validation is what a choice is made on, and nothing is to be chosen. "
                "Set performance_weight='auto', or leave the validation data out."
            )
        if ready is None or chain is None:
            wanted = self._shots_of(plan, shots)
            ready = prepare(
                features, positions, self.classes_, wanted, recipe, **common
            )
            plan = self._plans(wanted)[0]
            chain = train_plan(ready, plan, weight, recipe, generator)
        self._keep(ready, plan, chain)
        self.few_shot_weight_ = self._few_shot(ready, positions, recipe, generator)

    def _check_kept(self, positions: Tensor, shots: tuple[int, ...]) -> None:
        """Refuse to choose where holding out leaves nothing to learn from."""
        counts = torch.bincount(positions).numpy()
        if not usable_shots(counts, shots):
            raise ValueError(
                "Something is to be chosen on held-out data, and without them there "
                f"are not two classes with more than {2 * shots[0]} examples. Pass "
                "validation=(X, y) to fit, or leave nothing to choose."
            )

    def _shots_of(self, plan: Plan, shots: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shots whose bank a chosen plan needs: all of them, usually."""
        return shots

    def _select(
        self,
        ready: Ready,
        candidates: list[tuple[Plan, float]],
        chains: list[Chain],
        part: HeldOut,
    ) -> int:
        """Score all candidates on held-out data; keep the record; return the best."""
        heads = [
            self._moved_head(ready, plan, chain)
            for (plan, _), chain in zip(candidates, chains, strict=True)
        ]
        features = part.features
        predicted = torch.empty(len(heads), len(features), dtype=torch.int64)
        with torch.no_grad():
            for rows in row_blocks(len(features), features.shape[1]):
                block = features[rows].to(ready.weight)
                for row, head in zip(predicted, heads, strict=True):
                    row[rows] = head(block).argmax(dim=1).cpu()
        n_classes = len(self.classes_)
        recalls = mean_recalls(predicted, part.positions, n_classes).numpy()
        missing = np.isnan(recalls[0])
        scores = recalls[:, ~missing].mean(axis=1)
        self.selection_ = Selection(
            candidates=tuple(
                {"performance_weight": weight, "shots": plan.shots}
                for plan, weight in candidates
            ),
            scores=scores,
            best_index=int(scores.argmax()),
            data=part.data,
            n_samples=len(part.positions),
            missing_classes=self.classes_[missing],
            optimistic=False,
        )
        return self.selection_.best_index

    def _keep(self, ready: Ready, plan: Plan, chain: Chain) -> None:
        bank, scaled = ready.bank, ready.scaled
        self.shots_, self.chain_ = plan.shots, chain
        self.blocks_ = entry_blocks(ready.class_counts, plan.shots).numpy()
        self.unit_ = scaled.spread / bank.scale
        self.plain_head_ = self._head(ready.weight, scaled, bank.scale)
        self.head_ = self._moved_head(ready, plan, chain)
        self.model_shots_ = tuple(
            ready.shots[split] for split in sorted(starts_of(plan))
        )
        self.lengths_ = mean_lengths(ready, plan, chain).numpy()

    def _few_shot(
        self,
        ready: Ready,
        positions: Tensor,
        recipe: Recipe,
        generator: torch.Generator,
    ) -> npt.NDArray[Any]:
        """Return one model of all classes that have enough examples; NaN elsewhere."""
        k = self.model_shots_[0]
        able = (ready.class_counts >= k).nonzero().flatten()
        rows = torch.isin(positions, able).nonzero().flatten()
        features = ready.scaled.features
        model = shot_models(
            lambda chosen: features[rows[chosen].to(features.device)],
            torch.searchsorted(able, positions[rows]),
            1,
            k,
            solver=recipe.solver,
            penalty=recipe.penalty,
            generator=generator,
        )[0]
        # In units of the head, as `plain_head_` is.
        factor = ready.bank.unit * ready.bank.scale / ready.scaled.spread
        result = np.full(ready.weight.shape, np.nan, dtype=model.cpu().numpy().dtype)
        result[able.numpy()] = (model * factor).cpu().numpy()
        return result

    def _moved_head(self, ready: Ready, plan: Plan, chain: Chain) -> LinearHead:
        blocks = entry_blocks(ready.class_counts, plan.shots)
        weight = moved(chain, ready.weight, blocks)
        return self._head(weight, ready.scaled, ready.bank.scale)

    def _head(self, weight: Tensor, scaled: Scaled, scale: float) -> LinearHead:
        return LinearHead(
            (weight * (scale / scaled.spread)).contiguous(),
            center=scaled.center,
            classes=self.classes_,
        )

    def _like(self, features: Tensor) -> Tensor:
        place = self._work_device(features)
        return torch.empty(0, dtype=computing_dtype(features), device=place)

    def _check_loaded(self) -> None:
        chain, plain = self.chain_, self.plain_head_
        if not isinstance(plain, LinearHead) or plain.classes is None:
            raise ValueError("plain_head_ must be a linear head of the classes")
        if plain.classes.tolist() != self.classes_.tolist():
            raise ValueError("plain_head_ must be a linear head of the classes")
        numbers = all(is_int(k) and k >= 1 for k in self.shots_ + self.model_shots_)
        if not numbers or len(self.shots_) != chain.n_blocks:
            raise ValueError("shots_ must hold a number for every block of the chain")
        if len(self.model_shots_) != len(self.lengths_):
            raise ValueError("lengths_ must have a row for each of model_shots_")
        dtypes = {parameter.dtype for parameter in chain.parameters()}
        if chain.n_features != plain.n_features or not dtypes <= {plain.weight.dtype}:
            raise ValueError("chain_ must take the weights of plain_head_")
        known = np.isin(self.blocks_, np.arange(chain.n_blocks + 1)).all()
        if self.blocks_.dtype != np.int64 or not known:
            raise ValueError("blocks_ must be positions of blocks")
        if not 0 < self.unit_ < float("inf"):
            raise ValueError("unit_ must be a positive number")
