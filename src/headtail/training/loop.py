"""The training loop: stage 1 of every method, on one device or several."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from headtail.datasets import ImageSet
from headtail.heads import CosineHead
from headtail.labels import positions_of
from headtail.losses import Loss, build_loss
from headtail.samplers import ClassSampler, Sampling
from headtail.tensors import fingerprint
from headtail.training.augmentation import Augmentation
from headtail.training.devices import make_fabric
from headtail.training.image_classifier import ImageClassifier
from headtail.training.loading import EpochLoader, seed_of
from headtail.training.parts import TrainedParts, parameter_groups
from headtail.training.run_folder import Row, RunFolder
from headtail.training.schedule import Optimization, Schedule, build_optimizer
from headtail.training.trainer import HeldOut, Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["train"]


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
        "classes": fingerprint(classes),
        "preprocessing": model.preprocessing.spec(),
        "device": fabric.device.type,
        "weights": fingerprint(
            *[value.cpu().float().numpy() for value in model.state_dict().values()]
        ),
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
    trainer = Trainer(
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
        validation.check_fits(data, "validation")
        places = positions_of(validation.labels, classes)
        held = HeldOut(validation, places, n_workers)
    # Dropout draws from the global generators, which are left as they were found.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        return trainer.run(run, held)


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
