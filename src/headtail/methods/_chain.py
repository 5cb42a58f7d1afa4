"""MetaModelNet's chain of residual blocks, from few-shot to many-shot weights."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["Chain", "build_chain", "entry_blocks"]

_SLOPE = 0.01  # of the leaky ReLU
# Of a block: batch norm has five tensors, a full layer two, and there are two of each.
_TENSORS_OF_BLOCK = 14


def entry_blocks(
    class_counts: Int[Tensor, " n_classes"], shots: tuple[int, ...]
) -> Int[Tensor, " n_classes"]:
    """Return the block at which every class enters, len(shots) for none.

    The last block whose shots a class has, the first for one that has fewer. A class
    with twice the last block's shots or more stays as it is. For shots 1, 2, 4, … this
    is floor(log2 n).

    Examples
    --------
    >>> import torch
    >>> entry_blocks(torch.tensor([1, 3, 4, 7, 8]), (1, 2, 4))
    tensor([0, 1, 2, 2, 3])
    """
    bounds = torch.tensor([*shots[1:], 2 * shots[-1]])
    return torch.bucketize(class_counts, bounds, right=True)


class Chain(nn.Module):
    """Blocks that map weights to those learned from more examples, one after another.

    Every block is batch norm, leaky ReLU, a full layer, and the same again, of the
    weights' own width. With a residual path its last layer starts at zero: a fresh
    chain is the identity.

    Parameters
    ----------
    n_blocks, n_features
        Number of blocks, and length of a weight.
    residual
        Whether a block's output is added to its input, or takes its place.
    generator
        Of the layers' first weights; None leaves them to be loaded.
    """

    def __init__(
        self,
        n_blocks: int,
        n_features: int,
        *,
        residual: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.residual = residual
        self.blocks = nn.ModuleList(
            _block(n_features, zero=residual, generator=generator)
            for _ in range(n_blocks)
        )

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def step(
        self, block: int, weight: Float[Tensor, "n_weights n_features"]
    ) -> Float[Tensor, "n_weights n_features"]:
        """Return what one block makes of weights."""
        change: Tensor = self.blocks[block](weight)
        return weight + change if self.residual else change

    def forward(
        self, weight: Float[Tensor, "n_weights n_features"], start: int = 0
    ) -> Float[Tensor, "n_weights n_features"]:
        """Return F_start(weight): all blocks from `start` on, F_i = F_{i+1} ∘ block."""
        for block in range(start, self.n_blocks):
            weight = self.step(block, weight)
        return weight

    def spec(self) -> dict[str, Any]:
        """Return what the state dict does not tell, as JSON."""
        return {
            "n_blocks": self.n_blocks,
            "n_features": self.n_features,
            "residual": self.residual,
        }


def build_chain(spec: Mapping[str, Any], tensors: dict[str, Tensor]) -> Chain:
    """Rebuild a chain from its spec and tensors, which may be anybody's."""
    n_blocks, n_features = spec["n_blocks"], spec["n_features"]
    typed = type(n_blocks) is type(n_features) is int
    if not typed or len(tensors) != _TENSORS_OF_BLOCK * n_blocks:
        raise ValueError(f"a chain of {n_blocks} blocks must have their tensors")
    widths = {length for tensor in tensors.values() for length in tensor.shape}
    if n_features < 1 or (n_blocks and widths != {n_features}):
        raise ValueError(f"the tensors of the chain must be of width {n_features}")
    if type(spec["residual"]) is not bool:
        raise ValueError("a chain must be residual or not")
    # On no device: memory comes only from the tensors that are there.
    with torch.device("meta"):
        chain = Chain(n_blocks, n_features, residual=spec["residual"])
    shapes = {name: tensor.shape for name, tensor in chain.state_dict().items()}
    dtypes = {t.dtype for name, t in tensors.items() if "num_batches" not in name}
    if (
        {name: tensor.shape for name, tensor in tensors.items()} != shapes
        or not dtypes <= {torch.float32, torch.float64}
        or len(dtypes) > 1
    ):
        raise ValueError("the tensors of the chain must be those of its blocks")
    finite = all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    variances = [t for name, t in tensors.items() if name.endswith("running_var")]
    if not finite or any(bool((variance < 0).any()) for variance in variances):
        raise ValueError("the tensors of the chain must be finite, variances positive")
    chain.load_state_dict(tensors, assign=True)
    return chain.eval()


def _block(
    n_features: int, *, zero: bool, generator: torch.Generator | None
) -> nn.Sequential:
    """Return a fresh block, its last layer zero or drawn as torch does."""
    with torch.random.fork_rng(devices=[]):  # torch draws weights that are replaced
        layers = [nn.Linear(n_features, n_features) for _ in range(2)]
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                drawn = torch.rand(parameter.shape, generator=generator)
                parameter.copy_((2 * drawn - 1) * n_features**-0.5)
        if zero:
            for parameter in layers[1].parameters():
                parameter.zero_()
    halves = [
        (nn.BatchNorm1d(n_features), nn.LeakyReLU(_SLOPE), layer) for layer in layers
    ]
    return nn.Sequential(*halves[0], *halves[1])
