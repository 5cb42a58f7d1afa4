"""A torch sampler for the class-sampling rules, for one process or several."""

from collections.abc import Iterator
from itertools import islice

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Sampler

from headtail.samplers.class_sampling import Sampling, draw_epochs, epoch_size

__all__ = ["ClassSampler"]


class ClassSampler(Sampler[int]):
    """Yield the indices of an epoch's examples, as `draw_epochs` draws them.

    Every process draws the whole epoch from the same seed and takes every
    `n_processes`-th draw of it, so that together they show what one process would. If
    the epoch does not divide evenly, its first draws come once more at the end: all
    processes take the same number of steps.

    Parameters
    ----------
    labels
        Class positions of all examples.
    sampling
        The rule, see `draw_epochs`. Progressive sampling and class-aware sampling's
        cycles go on from epoch to epoch, so `set_epoch` must be called.
    n_epochs
        Epochs of the whole training.
    seed
        Of the draws; the same in all processes.
    rank, n_processes
        Which of how many processes this is.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([0, 0, 0, 1])
    >>> ranks = [
    ...     ClassSampler(labels, "instance", n_epochs=2, rank=rank, n_processes=2)
    ...     for rank in (0, 1)
    ... ]
    >>> sorted([*ranks[0], *ranks[1]])
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        labels: Int[Tensor, " n_samples"],
        sampling: Sampling,
        *,
        n_epochs: int,
        seed: int = 0,
        rank: int = 0,
        n_processes: int = 1,
    ) -> None:
        if not 0 <= rank < n_processes:
            raise ValueError(
                f"rank must be in 0 … n_processes - 1; got {rank} of {n_processes}."
            )
        if n_epochs < 1:
            raise ValueError(f"n_epochs must be at least 1; got {n_epochs}.")
        self.labels, self.sampling, self.n_epochs = labels, sampling, n_epochs
        self.seed, self.rank, self.n_processes = seed, rank, n_processes
        self._epoch = 0
        self._draws, self._next = self._begin(), 0

    def __len__(self) -> int:
        """Return how many examples of an epoch this process shows."""
        return -(-epoch_size(self.labels, self.sampling) // self.n_processes)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that comes next, 0 … n_epochs - 1."""
        if not 0 <= epoch < self.n_epochs:
            raise ValueError(
                f"epoch must be in 0 … {self.n_epochs - 1}, as n_epochs says; got "
                f"{epoch}."
            )
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Yield this process's share of the epoch."""
        if self._next > self._epoch:
            self._draws, self._next = self._begin(), 0
        # Epochs follow one another: on the way to a later one all before are drawn.
        draws = next(islice(self._draws, self._epoch - self._next, None))
        self._next = self._epoch + 1
        own = torch.arange(self.rank, len(self) * self.n_processes, self.n_processes)
        return iter(draws[own % len(draws)].tolist())

    def _begin(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        return draw_epochs(self.labels, self.sampling, self.n_epochs, generator)
