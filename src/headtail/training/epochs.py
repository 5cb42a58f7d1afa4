"""What happens in an epoch: the steps of training, and scoring on validation data."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headtail.datasets import ImageSet, Preprocessing, batches_in_order
from headtail.losses import Loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Score", "mean_recall", "score", "train_epoch"]

# Reading the loss waits for the device: not at every step.
_STEPS_PER_NOTE = 20


@dataclass(frozen=True)
class Score:
    """What an epoch of training came to: mean loss and share of right predictions."""

    loss: float
    accuracy: float


def train_epoch(
    fabric: "Fabric",
    model: Any,
    optimizer: Any,
    batches: Iterable[tuple[Tensor, Tensor]],
    labels: Tensor,
    *,
    loss: Loss,
    preprocessing: Preprocessing,
    before_step: Callable[[int], None],
    after_step: Callable[[int, str], None],
    clip_norm: float | None,
) -> Score:
    """Take one step per batch; return what all processes saw.

    Parameters
    ----------
    model, optimizer
        As `fabric.setup` gave them.
    batches
        uint8 images [n, height, width, 3] and the indices of their examples.
    labels
        Class positions of all examples.
    before_step, after_step
        Called with the step; with 1, and a text that says the loss so far.
    """
    noted = ""
    totals = torch.zeros(3, dtype=torch.float64, device=fabric.device)
    for step, (images, rows) in enumerate(batches):
        before_step(step)
        targets = labels[rows].to(fabric.device)
        inputs = preprocessing.normalize(images.to(fabric.device, non_blocking=True))
        logits = model(inputs)
        value = loss(logits, targets)
        optimizer.zero_grad()
        fabric.backward(value)
        if clip_norm is not None:
            fabric.clip_gradients(
                model, optimizer, max_norm=clip_norm, error_if_nonfinite=False
            )
        optimizer.step()
        hits = (logits.detach().argmax(dim=1) == targets).sum()
        size = torch.tensor(len(rows), device=fabric.device)
        totals += torch.stack([value.detach() * size, hits, size]).double()
        if step % _STEPS_PER_NOTE == 0:
            noted = f"loss {float(totals[0] / totals[2]):.3f}"
        after_step(1, noted)
    summed = fabric.all_reduce(totals, reduce_op="sum")
    total, right, seen = torch.as_tensor(summed).tolist()
    return Score(total / seen, right / seen)


@torch.no_grad()
def score(
    fabric: "Fabric",
    model: Any,
    data: ImageSet,
    positions: npt.NDArray[np.int64],
    *,
    n_classes: int,
    preprocessing: Preprocessing,
    batch_size: int,
    n_workers: int,
) -> npt.NDArray[np.float64]:
    """Return the recall of every class, NaN for one that is not in the data.

    Every process scores its share of the examples.
    """
    model.eval()
    rank, n_processes = fabric.global_rank, fabric.world_size
    # A network may wait for its copies, so that all processes take as many steps: where
    # examples are too few, some read one of another process, which does not count.
    own = np.arange(rank, -(-len(data) // n_processes) * n_processes, n_processes)
    own = own % max(len(data), 1)
    sums = torch.zeros(2, n_classes, dtype=torch.float64, device=fabric.device)
    targets = torch.from_numpy(positions)
    batches = batches_in_order(
        data, own, preprocessing, batch_size=batch_size, n_workers=n_workers
    )
    for images, rows in batches:
        truth = targets[rows].to(fabric.device)
        inputs = preprocessing.normalize(images.to(fabric.device, non_blocking=True))
        counted = (rows % n_processes == rank).to(sums)
        hits = (model(inputs).argmax(dim=1) == truth) * counted
        sums[0].index_add_(0, truth, hits)
        sums[1].index_add_(0, truth, counted)
    summed = torch.as_tensor(fabric.all_reduce(sums, reduce_op="sum")).cpu().numpy()
    hits, sizes = summed
    return np.where(sizes > 0, hits / np.where(sizes > 0, sizes, 1), np.nan)


def mean_recall(recalls: npt.NDArray[np.float64]) -> float:
    """Return the mean of the recalls that are known, NaN if none is.

    Examples
    --------
    >>> mean_recall(np.array([1.0, np.nan, 0.5]))
    0.75
    """
    known = recalls[~np.isnan(recalls)]
    return float(known.mean()) if len(known) else float("nan")
