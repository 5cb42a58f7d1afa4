"""A training that is set up, epoch by epoch: steps, scores, checkpoints."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.datasets import ImageSet
from headtail.files import only_writer
from headtail.losses import Loss
from headtail.progress import counter
from headtail.statistics import shot_groups
from headtail.training.epochs import mean_recall, score, train_epoch
from headtail.training.image_classifier import ImageClassifier
from headtail.training.loading import EpochLoader, seed_of
from headtail.training.parts import TrainedParts, set_training_mode
from headtail.training.run_folder import Row, RunFolder
from headtail.training.schedule import Schedule

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["HeldOut", "Trainer"]

_CHOSEN_BY = "validation_all"


@dataclass(frozen=True)
class HeldOut:
    """Validation images and their class positions."""

    data: ImageSet
    positions: npt.NDArray[np.int64]
    n_workers: int


class Trainer:
    """A training that is set up, epoch by epoch."""

    def __init__(
        self,
        fabric: "Fabric",
        model: ImageClassifier,
        optimizer: torch.optim.Optimizer,
        loader: EpochLoader,
        positions: Tensor,
        *,
        criterion: Loss,
        schedule: Schedule,
        parts: TrainedParts,
        clip_norm: float | None,
        seed: int,
    ) -> None:
        # Convolutions are faster on pixels whose channels lie side by side.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fabric, self.model, self.loader = fabric, model, loader
        self.network, self.optimizer = fabric.setup(model, optimizer)
        self.criterion = criterion.to(fabric.device)
        self.positions, self.schedule, self.parts = positions, schedule, parts
        self.clip_norm, self.seed = clip_norm, seed
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self._scores = ""

    def run(self, folder: RunFolder | None, held: HeldOut | None) -> list[Row]:
        """Train the epochs that are left; return a record of all of them."""
        writes = folder if self.fabric.is_global_zero else None
        with only_writer(writes.path) if writes else nullcontext():
            return self._run(folder, held)

    def _run(self, folder: RunFolder | None, held: HeldOut | None) -> list[Row]:
        rows = [] if folder is None else self._resume(folder)
        best = max((row[_CHOSEN_BY] for row in rows if _CHOSEN_BY in row), default=-1.0)
        for epoch in range(len(rows), self.schedule.n_epochs):
            # The fastest kernels of a GPU add up in another order each time.
            with torch.backends.cudnn.flags(benchmark=False, deterministic=True):
                row = {"epoch": epoch + 1, **self._epoch(epoch)}
                if held is not None:
                    row |= self._validate(held)
            rows.append(row)
            better = row.get(_CHOSEN_BY, -1.0) > best
            best = max(best, row.get(_CHOSEN_BY, -1.0))
            if folder is not None and self.fabric.is_global_zero:
                folder.write(self.model, self.optimizer, rows, better)
        if folder is not None and self.fabric.is_global_zero:
            folder.finish(self.model, rows)
        # No process may read what the first has not written.
        self.fabric.barrier()
        self.model.eval()
        return rows

    def _resume(self, folder: RunFolder) -> list[Row]:
        if self.fabric.is_global_zero:
            folder.begin()
        self.fabric.barrier()
        state = folder.read_state()
        if state is None:
            return []
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        return list(state["rows"])

    def _epoch(self, epoch: int) -> Row:
        torch.manual_seed(seed_of(self.seed, epoch, self.fabric.global_rank))
        set_training_mode(self.model.backbone, self.parts)
        self.model.head.train()
        n_steps = len(self.loader)
        label = f"epoch {epoch + 1} of {self.schedule.n_epochs}{self._scores}"
        # One bar, whatever the number of processes.
        alone = self.fabric.is_global_zero
        with counter(n_steps, label) if alone else nullcontext(_silent) as advance:
            result = train_epoch(
                self.fabric,
                self.network,
                self.optimizer,
                self.loader.epoch(epoch),
                self.positions,
                loss=self.criterion,
                preprocessing=self.model.preprocessing,
                before_step=lambda step: self._set_rates(epoch, step, n_steps),
                after_step=lambda one, text: advance(one, f"{label}, {text}"),
                clip_norm=self.clip_norm,
            )
        # The last step may have gone too far after its loss was taken.
        whole = all(bool(p.isfinite().all()) for p in self.model.parameters())
        if not (math.isfinite(result.loss) and whole):
            raise ValueError(
                f"The training must converge; its loss was {result.loss} in epoch "
                f"{epoch + 1}, or its weights are no longer finite. Lower the learning "
                "rate, or clip the gradients."
            )
        return {
            "learning_rate": self.optimizer.param_groups[-1]["lr"],
            "train_loss": result.loss,
            "train_accuracy": result.accuracy,
        }

    def _set_rates(self, epoch: int, step: int, n_steps: int) -> None:
        passed = epoch + step / n_steps
        if passed < self.schedule.warmup_epochs:
            # What a step of the warm-up climbs counts for itself: the first is not 0.
            passed = min(passed + 1 / n_steps, self.schedule.warmup_epochs)
        now = self.schedule.rate(passed)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * now
        self.criterion.advance((epoch + step / n_steps) / self.schedule.n_epochs)

    def _validate(self, held: HeldOut) -> Row:
        counts = np.asarray(self.model.class_counts)
        recall = score(
            self.fabric,
            self.network,
            held.data,
            held.positions,
            n_classes=len(counts),
            preprocessing=self.model.preprocessing,
            batch_size=self.loader.batch_size,
            n_workers=held.n_workers,
        )
        groups = {
            "all": np.ones(len(counts), dtype=bool),
            **dict(shot_groups(counts).items()),
        }
        means = {name: mean_recall(recall[mask]) for name, mask in groups.items()}
        shown = [f"{k} {100 * v:.1f}" for k, v in means.items() if not math.isnan(v)]
        self._scores = f" ({', '.join(shown)} %)"
        return {f"validation_{name}": value for name, value in means.items()}


def _silent(more: int, label: str) -> None:
    """Show nothing."""
