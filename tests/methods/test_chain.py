"""The chain of residual blocks, and where classes enter it."""

import itertools
import math

import pytest
import torch

from headtail.methods._chain import Chain, entry_blocks

RESIDUAL = pytest.mark.parametrize("residual", [True, False])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def weights(n=20, n_features=5, seed=1):
    return torch.randn(n, n_features, generator=seeded(seed), dtype=torch.float64)


def used_chain(n_blocks=3, n_features=5, *, residual=True):
    """Return a chain with no zero and no fresh batch norm left, in evaluation mode."""
    chain = Chain(n_blocks, n_features, residual=residual, generator=seeded()).double()
    generator = seeded(2)
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
        for seed in range(5):
            chain(weights(seed=seed))
    return chain.eval()


def test_a_fresh_residual_chain_is_the_identity():
    chain = Chain(4, 5, generator=seeded()).double()
    before = weights()
    for start in range(5):
        assert chain(before, start).equal(before)  # in training mode too
        assert chain.eval()(before, start).equal(before)
    assert chain.n_blocks == 4


def test_a_trained_block_is_the_identity_without_its_last_layer():
    chain, before = used_chain(), weights()
    assert not chain.step(1, before).allclose(before)
    with torch.no_grad():
        for parameter in chain.blocks[1][-1].parameters():
            parameter.zero_()
    assert chain.step(1, before).equal(before)
    assert chain(before, 1).equal(chain(before, 2))


@RESIDUAL
def test_blocks_come_one_after_another(residual):
    chain, before = used_chain(residual=residual), weights()
    for start in range(3):
        rest = chain(chain.step(start, before), start + 1)
        assert chain(before, start).equal(rest)
    assert chain(before, 3).equal(before)
    assert chain(before).equal(chain(before, 0))


@RESIDUAL
def test_a_block_is_two_halves_of_norm_leaky_relu_and_layer(residual):
    chain, before = used_chain(1, residual=residual), weights()
    expected = before
    norms, layers = (0, 3), (2, 5)
    for i, j in zip(norms, layers, strict=True):
        norm, layer = chain.blocks[0][i], chain.blocks[0][j]
        expected = (expected - norm.running_mean) / (norm.running_var + 1e-5).sqrt()
        expected = expected * norm.weight + norm.bias
        expected = torch.where(expected > 0, expected, 0.01 * expected)
        expected = expected @ layer.weight.T + layer.bias
    expected = expected + before if residual else expected
    torch.testing.assert_close(chain.step(0, before), expected)


def test_without_identity_nothing_is_zero():
    chain = Chain(2, 5, residual=False, generator=seeded()).double()
    layers = [m for m in chain.modules() if isinstance(m, torch.nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        for parameter in layer.parameters():
            assert (parameter != 0).all()
            assert parameter.abs().max() <= 5**-0.5
    assert not chain(weights()).allclose(weights())


def test_first_weights_come_from_the_generator_alone():
    torch.manual_seed(0)
    first = Chain(2, 5, generator=seeded()).state_dict()
    torch.manual_seed(1)
    same = Chain(2, 5, generator=seeded()).state_dict()
    other = Chain(2, 5, generator=seeded(1)).state_dict()
    assert all(first[name].equal(same[name]) for name in first)
    assert not first["blocks.0.2.weight"].equal(other["blocks.0.2.weight"])
    assert not first["blocks.0.2.weight"].equal(first["blocks.1.2.weight"])


@RESIDUAL
def test_the_state_comes_back(residual):
    chain = used_chain(residual=residual)
    again = Chain(3, 5, residual=residual).double()
    again.load_state_dict(chain.state_dict())
    assert again.eval()(weights()).equal(chain(weights()))
    assert not any(module.training for module in again.modules())


def test_a_chain_of_no_blocks_changes_nothing():
    chain = Chain(0, 5)
    assert chain.n_blocks == 0
    assert list(chain.parameters()) == []
    assert chain(weights()).equal(weights())


def test_in_doubling_shots_classes_enter_at_the_logarithm_of_their_count():
    counts = range(1, 201)
    blocks = entry_blocks(torch.tensor(counts), (1, 2, 4, 8, 16, 32, 64)).tolist()
    assert blocks == [min(math.floor(math.log2(n)), 7) for n in counts]
    assert blocks[126:128] == [6, 7]


@pytest.mark.parametrize("shots", [(1,), (5,), (1, 10), (3, 4, 9), (2, 30, 31)])
def test_a_class_enters_at_the_last_block_that_it_has_the_shots_for(shots):
    for n in range(1, 100):
        passed = [i for i, k in enumerate(shots) if k <= n]
        expected = len(shots) if n >= 2 * shots[-1] else max(passed, default=0)
        assert entry_blocks(torch.tensor([n]), shots).tolist() == [expected], n


def test_more_examples_never_enter_earlier():
    blocks = entry_blocks(torch.arange(1, 300), (1, 3, 20, 100)).tolist()
    assert all(a <= b for a, b in itertools.pairwise(blocks))
    assert set(blocks) == {0, 1, 2, 3, 4}
