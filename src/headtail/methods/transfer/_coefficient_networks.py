"""The networks that learn AlphaNet's coefficients: one per class, or one for all."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from headtail.methods.transfer._coefficients import (
    bounded_coefficients,
    normalized_coefficients,
)
from headtail.tensors import row_blocks

__all__ = ["DirectCoefficients", "PerClassNetworks", "SharedNetwork", "first_layers"]

_SLOPE = 0.01  # of the leaky ReLU, as in the authors' later code
_WIDTH = 32  # of the shared network's three layers


def starting_coefficients(n_few: int, n_vectors: int, gamma: float) -> Tensor:
    """Return gamma for the own classifier, (1 - gamma) / K for the others."""
    start = torch.full((n_few, n_vectors), (1 - gamma) / (n_vectors - 1))
    start[:, 0] = gamma
    return start


def first_layers(
    inputs: Float[Tensor, "n_few n_inputs"], width: int, generator: torch.Generator
) -> Float[Tensor, "n_few width"]:
    """Return what fresh first layers, one per class, make of their constant inputs.

    Weights and biases are drawn as `torch.nn.Linear` draws them, in blocks of classes:
    all of them never exist at once.
    """
    n_few, n_inputs = inputs.shape
    bound = n_inputs**-0.5
    hidden = inputs.new_empty(n_few, width)
    for rows in row_blocks(n_few, n_inputs * width, 2**26):
        shape = (rows.stop - rows.start, width, n_inputs + 1)
        drawn = (2 * torch.rand(shape, generator=generator) - 1) * bound
        drawn = drawn.to(inputs)
        products = torch.bmm(drawn[:, :, :-1], inputs[rows, :, None])[:, :, 0]
        hidden[rows] = products + drawn[:, :, -1]
    return hidden


class PerClassNetworks(nn.Module):
    """One network of two layers per few-shot class, all in one batch.

    The input x of a network never changes, so of its first layer only h = W x + b
    matters. A gradient step moves h by (‖x‖² + 1) times its own gradient. So h itself
    is learned, as g · u with g = √(‖x‖² + 1): by SGD, with momentum too, that is the
    training of W and b, number by number, without their n_inputs · width weights.

    Parameters
    ----------
    hidden
        Where h starts, see `first_layers`: [n_few, width].
    inputs
        The inputs x: [n_few, n_inputs].
    gamma
        Bound of the own coefficient.
    generator
        Of the second layers' weights. Their biases start so that the coefficients
        start at gamma and (1 - gamma) / K.
    n_vectors
        Coefficients of a class, K + 1.
    """

    def __init__(
        self,
        hidden: Tensor,
        inputs: Tensor,
        gamma: float,
        n_vectors: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_few, width = hidden.shape
        factor = (inputs.square().sum(dim=1, keepdim=True) + 1).sqrt()
        self.register_buffer("step_factor", factor)
        self.gamma = gamma
        self.hidden = nn.Parameter(hidden / factor)
        drawn = 2 * torch.rand((n_few, n_vectors, width), generator=generator) - 1
        self.weight = nn.Parameter((drawn * width**-0.5).to(hidden))
        start = starting_coefficients(n_few, n_vectors, gamma).to(hidden)
        self.bias = nn.Parameter(torch.zeros_like(start))
        with torch.no_grad():
            self.bias.add_(start - self._outputs())

    step_factor: Tensor

    def _outputs(self) -> Tensor:
        active = F.leaky_relu(self.step_factor * self.hidden, _SLOPE)
        return torch.bmm(self.weight, active[:, :, None])[:, :, 0] + self.bias

    def forward(self) -> Float[Tensor, "n_few n_vectors"]:
        """Return the bounded coefficients of all classes."""
        return bounded_coefficients(self._outputs(), self.gamma)


class DirectCoefficients(nn.Module):
    """The coefficients themselves: what a network of constant input amounts to."""

    def __init__(self, n_few: int, n_vectors: int, gamma: float, like: Tensor) -> None:
        super().__init__()
        self.gamma = gamma
        start = starting_coefficients(n_few, n_vectors, gamma).to(like)
        self.raw = nn.Parameter(start)

    def forward(self) -> Float[Tensor, "n_few n_vectors"]:
        """Return the bounded coefficients of all classes."""
        return bounded_coefficients(self.raw, self.gamma)


class SharedNetwork(nn.Module):
    """One network for all few-shot classes; a class's own coefficient is 1.

    Three layers of 32, as in the authors' later code. The K other coefficients of a
    class have sizes that sum to 1.
    """

    def __init__(
        self, inputs: Tensor, n_vectors: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.register_buffer("inputs", inputs)
        sizes = [inputs.shape[1], _WIDTH, _WIDTH, _WIDTH, n_vectors - 1]
        with torch.random.fork_rng(devices=[]):  # torch draws, and it is replaced
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        with torch.no_grad():
            for parameter, fan_in in zip(self.parameters(), _twice(sizes), strict=True):
                drawn = 2 * torch.rand(parameter.shape, generator=generator) - 1
                parameter.copy_(drawn * fan_in**-0.5)
        self.layers.to(inputs)

    inputs: Tensor

    def forward(self) -> Float[Tensor, "n_few n_vectors"]:
        """Return the coefficients of all classes, the own ones first."""
        values = self.inputs
        for layer in self.layers[:-1]:
            values = F.leaky_relu(layer(values), _SLOPE)
        others = normalized_coefficients(self.layers[-1](values))
        return torch.cat([others.new_ones(len(others), 1), others], dim=1)


def _twice(sizes: list[int]) -> list[int]:
    """Return the fan-in of every weight and bias, in order."""
    return [fan_in for fan_in in sizes[:-1] for _ in range(2)]
