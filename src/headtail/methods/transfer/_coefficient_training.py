"""Train AlphaNet's coefficients on frozen logits; keep those of every epoch."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from headtail.methods._selection import mean_recalls
from headtail.methods.transfer._coefficients import compose_rows
from headtail.progress import track
from headtail.samplers import draw_by_weight
from headtail.tensors import row_blocks

__all__ = ["Composition", "Schedule", "epoch_recalls", "train_coefficients"]

_LONGEST_GRADIENT = 1.0


class Composition(NamedTuple):
    """What a few-shot class is composed of.

    Attributes
    ----------
    few
        Positions of the few-shot classes: [n_few].
    vectors
        Positions of the classifiers of each, its own first: [n_few, n_vectors].
    bias
        Bias of every class of the base: [n_classes].
    composes_bias
        Whether biases are composed as the weights are (equation 3), or stay.
    """

    few: Int[Tensor, " n_few"]
    vectors: Int[Tensor, "n_few n_vectors"]
    bias: Float[Tensor, " n_classes"]
    composes_bias: bool

    def logits(self, frozen: Tensor, coefficients: Tensor) -> Tensor:
        """Return the logits of the composed classifier from those of the base.

        A composed weight's product is the composition of the products: so nothing of
        the features' length is computed.
        """
        products = frozen - self.bias
        composed = (products[:, self.vectors] * coefficients).sum(dim=-1)
        composed = composed + self.biases(coefficients)
        return frozen.index_copy(1, self.few, composed)

    def biases(self, coefficients: Tensor) -> Tensor:
        """Return the biases of the few-shot classes."""
        if self.composes_bias:
            return compose_rows(coefficients, self.bias, self.vectors)
        return self.bias[self.few]


class Schedule(NamedTuple):
    """How long, how fast and on what the coefficients are trained."""

    epochs: int
    batch_size: int
    learning_rate: float
    decay_every: int
    adamw: bool
    base_ratio: float
    balanced: bool


def train_coefficients(
    network: nn.Module,
    composition: Composition,
    frozen: Callable[[Tensor], Tensor],
    labels: Int[Tensor, " n_samples"],
    *,
    schedule: Schedule,
    generator: torch.Generator,
    label: str,
) -> Float[Tensor, "n_epochs n_few n_vectors"]:
    """Minimise the cross-entropy over all classes; return every epoch's coefficients.

    An epoch shows all examples of the few-shot classes and `base_ratio` times as many
    of the others. The learning rate falls to a tenth every `decay_every` epochs.

    Parameters
    ----------
    network
        Called without arguments it returns the coefficients.
    frozen
        From the indices of examples to the base's logits.
    """
    parameters = list(network.parameters())
    rate = schedule.learning_rate
    optimizer: torch.optim.Optimizer
    if schedule.adamw:
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    else:
        optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9)
    steps = torch.optim.lr_scheduler.StepLR(optimizer, schedule.decay_every)
    epochs = _epochs(labels, composition.few.cpu(), schedule, generator)
    history = []
    for rows in track(epochs, schedule.epochs, label):
        for batch in torch.split(rows, schedule.batch_size):
            logits = composition.logits(frozen(batch), network())
            loss = F.cross_entropy(logits, labels[batch].to(logits.device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            # Of an overconfident base, one example can send the coefficients anywhere.
            nn.utils.clip_grad_norm_(parameters, _LONGEST_GRADIENT)
            optimizer.step()
        steps.step()
        with torch.no_grad():
            history.append(network())
    result = torch.stack(history)
    if not result.isfinite().all():
        raise ValueError(
            "The training of the coefficients must converge; it ended in NaN or inf "
            f"with learning_rate={rate:g}. Lower it."
        )
    return result


def _epochs(
    labels: Tensor, few: Tensor, schedule: Schedule, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield the shuffled examples of every epoch."""
    is_few = torch.isin(labels, few)
    tail, rest = is_few.nonzero().flatten(), (~is_few).nonzero().flatten()
    n_base = round(schedule.base_ratio * len(tail))
    weights = 1 / torch.bincount(labels).double()[labels[rest]]
    for _ in range(schedule.epochs):
        if schedule.balanced:
            drawn = draw_by_weight(weights, n_base, generator)
        else:
            # As often as is needed, none more than once more than another.
            turns = [
                torch.randperm(len(rest), generator=generator)
                for _ in range(-(-n_base // len(rest)))
            ]
            drawn = torch.cat([*turns, rest.new_empty(0)])[:n_base]
        rows = torch.cat([tail, rest[drawn]])
        yield rows[torch.randperm(len(rows), generator=generator)]


@torch.no_grad()
def epoch_recalls(
    history: Float[Tensor, "n_epochs n_few n_vectors"],
    composition: Composition,
    frozen: Callable[[Tensor], Tensor],
    labels: Int[Tensor, " n_samples"],
) -> Float[Tensor, "n_epochs n_classes"]:
    """Return every epoch's recall of every class on held-out data.

    The best of the other classes is the same in all epochs, and found once.
    """
    n_epochs, n_few, n_vectors = history.shape
    biases = torch.stack([composition.biases(row) for row in history])
    base = torch.ones(len(composition.bias), dtype=torch.bool)
    base[composition.few.cpu()] = False
    others = base.nonzero().flatten().to(history.device)
    parts = []
    every = torch.arange(len(labels))
    for rows in row_blocks(len(labels), n_few * max(n_epochs, n_vectors)):
        logits = frozen(every[rows])
        products = (logits - composition.bias)[:, composition.vectors]
        composed = torch.einsum("nfv,efv->enf", products, history) + biases[:, None]
        few_best, few_class = composed.max(dim=2)
        rest_best, rest_class = logits[:, others].max(dim=1)
        winner = torch.where(
            few_best > rest_best, composition.few[few_class], others[rest_class]
        )
        parts.append(winner.cpu())
    return mean_recalls(torch.cat(parts, dim=1), labels, len(composition.bias))
