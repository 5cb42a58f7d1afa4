"""The training loop: stage 1 of every method, on one device or several."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.datasets import ImageSet
from headtail.heads import CosineHead
from headtail.labels import positions_of
from headtail.losses import Loss, build_loss
from headtail.progress import counter
from headtail.samplers import ClassSampler, Sampling
from headtail.statistics import shot_groups
from headtail.tensors import shown
from headtail.training.augmentation import Augmentation
from headtail.training.devices import make_fabric
from headtail.training.epochs import mean_recall, score, train_epoch
from headtail.training.image_classifier import ImageClassifier
from headtail.training.loading import EpochLoader, seed_of
from headtail.training.parts import TrainedParts, parameter_groups, set_training_mode
from headtail.training.run_folder import Row, RunFolder
from headtail.training.schedule import Optimization, Schedule, build_optimizer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["train"]

_CHOSEN_BY = "validation_all"


def train(
    model: ImageClassifier,
    data: ImageSet,
    validation: ImageSet | None = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    optimization: Optimization,
    schedule: Schedule,
    sampling: Sampling = "instance",
    loss: str = "cross-entropy",
    loss_options: Mapping[str, Any] | None = None,
    augmentation: Augmentation | None = None,
    parts: TrainedParts = "all",
    seed: int = 0,
    fabric: "Fabric | None" = None,
    n_workers: int = 0,
    tensorboard: bool = False,
) -> list[Row]:
    """Train a network on long-tailed images, in place.

    Parameters
    ----------
    model
        Changed in place. Its head has a row for each class that has training images:
        in the order of the head's `classes`, if it knows them, else in that of labels.
    data
        Training images.
    validation
        Scored after every epoch by the mean recall of its classes. The best epoch's
        network is kept beside the last one.
    folder
        Where checkpoints and logs go, see `RunFolder`; None to write nothing. A folder
        with a broken-off run of the same settings continues it: the weights come out
        as if it had never been broken off. A finished run is only read.
    optimization, schedule
        The steps, and their learning rate over the epochs.
    sampling
        Which images an epoch shows, see `headtail.samplers.draw_epochs`.
    loss, loss_options
        One of `headtail.losses.LOSSES`, and its keyword arguments. A loss with a scale
        of its own fixes that of the cosine head.
    augmentation
        Random changes of the images; None for none.
    parts
        Which parts train, see `parameter_groups`.
    seed
        Of the draws, of the augmentation and of the network's own randomness.
    fabric
        Device, number of processes and precision; None for one processor, float32.
    n_workers
        Processes that read images, for each process that trains.
    tensorboard
        Write TensorBoard's files too; needs the extra ``tensorboard``.

    Returns
    -------
    rows
        A record for every epoch, as in the log: the learning rate, what the training
        batches came to, and the mean recall of all classes of the validation data and
        of its shot groups.
    """
    fabric = make_fabric("cpu") if fabric is None else fabric
    fabric.launch()
    augmentation = Augmentation() if augmentation is None else augmentation
    if optimization.batch_size % fabric.world_size:
        raise ValueError(
            f"batch_size must be a multiple of the {fabric.world_size} processes; got "
            f"{optimization.batch_size}."
        )
    classes = _classes_of(model, data)
    positions = positions_of(data.labels, classes)
    counts = np.bincount(positions, minlength=len(classes))
    model.class_counts = tuple(counts.tolist())
    if data.class_names is not None:
        model.class_names = tuple(data.class_names[label] for label in classes)
    criterion = build_loss(loss, counts, loss_options)
    groups = parameter_groups(
        model.backbone,
        model.head,
        parts,
        learning_rate=optimization.learning_rate,
        classifier_learning_rate=optimization.classifier_learning_rate,
        weight_decay=optimization.weight_decay,
    )
    _fix_scale(model, criterion)
    settings = {
        "optimization": asdict(optimization),
        "schedule": asdict(schedule),
        "sampling": sampling,
        "loss": {"name": loss, **dict(loss_options or {})},
        "augmentation": asdict(augmentation),
        "parts": parts,
        "seed": seed,
        "processes": fabric.world_size,
        "precision": fabric.strategy.precision.precision,
        "backbone": model.backbone.spec(),
        "head": model.head.spec(),
        "preprocessing": model.preprocessing.spec(),
        "images": data.fingerprint(),
        "validation": None if validation is None else validation.fingerprint(),
    }
    run = None
    if folder is not None:
        run = RunFolder(folder, settings, tensorboard=tensorboard)
    sampler = ClassSampler(
        torch.from_numpy(positions),
        sampling,
        n_epochs=schedule.n_epochs,
        seed=seed_of(seed),
        rank=fabric.global_rank,
        n_processes=fabric.world_size,
    )
    loader = EpochLoader(
        data,
        sampler,
        optimization.batch_size // fabric.world_size,
        model.preprocessing,
        augmentation,
        n_workers,
    )
    training = _Training(
        fabric,
        model,
        build_optimizer(groups, optimization),
        loader,
        torch.from_numpy(positions),
        criterion=criterion,
        schedule=schedule,
        parts=parts,
        clip_norm=optimization.clip_norm,
        seed=seed,
    )
    held = None
    if validation is not None:
        held = _HeldOut(validation, _matched(validation, data, classes), n_workers)
    # Dropout draws from the global generators, which are left as they were found.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        return training.run(run, held)


@dataclass(frozen=True)
class _HeldOut:
    """Validation images and their class positions."""

    data: ImageSet
    positions: npt.NDArray[np.int64]
    n_workers: int


class _Training:
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

    def run(self, folder: RunFolder | None, held: _HeldOut | None) -> list[Row]:
        """Train the epochs that are left; return a record of all of them."""
        rows = [] if folder is None else self._resume(folder)
        best = max((row[_CHOSEN_BY] for row in rows if _CHOSEN_BY in row), default=-1.0)
        for epoch in range(len(rows), self.schedule.n_epochs):
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
        label = f"epoch {epoch + 1} of {self.schedule.n_epochs}"
        with counter(n_steps, label) as advance:
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
        if not math.isfinite(result.loss):
            raise ValueError(
                f"The training must converge; its loss was {result.loss} in epoch "
                f"{epoch + 1}. Lower the learning rate, or clip the gradients."
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

    def _validate(self, held: _HeldOut) -> Row:
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
        return {
            f"validation_{name}": mean_recall(recall[mask])
            for name, mask in groups.items()
        }


def _classes_of(model: ImageClassifier, data: ImageSet) -> npt.NDArray[Any]:
    """Return the label of every row of the head; refuse data that do not fit it."""
    present = np.unique(data.labels)
    classes = present if model.head.classes is None else model.head.classes
    if len(classes) != model.head.n_classes or set(present) != set(classes):
        raise ValueError(
            "The head must have one row for each class that has training images; it "
            f"has {model.head.n_classes} rows, and {len(present)} classes have images. "
            "Build it for the labels that occur."
        )
    return classes


def _matched(
    validation: ImageSet, data: ImageSet, classes: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """Return the positions of the validation labels among the classes."""
    if (
        None not in (names := {validation.class_names, data.class_names})
        and len(names) > 1
    ):
        raise ValueError(
            "The class names of the validation and the training images must be the "
            "same, in the same order; they differ."
        )
    positions = positions_of(validation.labels, classes)
    unknown = np.unique(validation.labels[positions < 0])
    if len(unknown):
        raise ValueError(
            f"Classes {shown(unknown)} occur in the validation images but have no "
            "training image. Leave them out."
        )
    return positions


def _fix_scale(model: ImageClassifier, criterion: Loss) -> None:
    """Fix the scale of the head to that of the loss, if it has one."""
    if criterion.fixed_scale is None:
        return
    if not isinstance(model.head, CosineHead):
        raise ValueError(
            "This loss needs a cosine head with its own scale; got "
            f"{type(model.head).__name__}."
        )
    with torch.no_grad():
        model.head.scale.fill_(criterion.fixed_scale)
    model.head.scale.requires_grad_(False)
