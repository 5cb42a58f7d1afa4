"""Rows of a head, in any order, as a head of their own."""

import pytest
import torch

from headtail.heads import (
    AffineHead,
    CausalNormHead,
    CosineHead,
    DisAlignHead,
    EnsembleHead,
    LinearHead,
    WhitenedHead,
)

N_CLASSES, N_FEATURES = 5, 4
NAMES = ["a", "b", "c", "d", "e"]


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


WEIGHT, PER_CLASS = normal(5, 4, seed=0), normal(5, seed=1)
PER_FEATURE = normal(4, seed=2)
MAP = normal(4, 4, seed=4)
X = normal(6, 4, seed=3)


def linear(classes=None):
    return LinearHead(
        WEIGHT, PER_CLASS, center=PER_FEATURE, normalize=True, classes=classes
    )


def cosine(classes=None):
    return CosineHead(WEIGHT, 7.0, classes=classes)


MAKERS = {
    "linear": linear,
    "bare": lambda classes=None: LinearHead(WEIGHT, classes=classes),
    "cosine": cosine,
    "affine": lambda classes=None: AffineHead(
        cosine(), PER_CLASS, PER_CLASS + 1, classes=classes
    ),
    "disalign": lambda classes=None: DisAlignHead(
        linear(), PER_CLASS, PER_CLASS + 1, PER_FEATURE, classes=classes
    ),
    "causal-norm": lambda classes=None: CausalNormHead(
        WEIGHT, PER_FEATURE, n_chunks=4, alpha=0.7, classes=classes
    ),
    "whitened": lambda classes=None: WhitenedHead(
        cosine(), MAP, PER_FEATURE, classes=classes
    ),
    "whitened directions": lambda classes=None: WhitenedHead(
        linear(), MAP, PER_FEATURE, normalize=True, classes=classes
    ),
    "nested": lambda classes=None: AffineHead(
        DisAlignHead(cosine(), PER_CLASS, PER_CLASS + 1, PER_FEATURE),
        PER_CLASS,
        PER_CLASS,
        classes=classes,
    ),
    "whitened twice": lambda classes=None: WhitenedHead(
        WhitenedHead(linear(), MAP, PER_FEATURE), MAP.T, PER_FEATURE, classes=classes
    ),
}
EVERY = pytest.mark.parametrize("name", MAKERS)


@EVERY
@pytest.mark.parametrize("rows", [[3, 0, 4], [2], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
def test_logits_are_the_columns_of_the_rows(name, rows):
    head = MAKERS[name]()
    chosen = head.select(torch.tensor(rows))
    assert type(chosen) is type(head)
    assert (chosen.n_classes, chosen.n_features) == (len(rows), N_FEATURES)
    torch.testing.assert_close(chosen(X), head(X)[:, rows])


@EVERY
def test_classes_are_those_given_and_none_if_none_are(name):
    head = MAKERS[name](NAMES)
    rows = torch.tensor([3, 1])
    assert head.select(rows, ["d", "b"]).classes.tolist() == ["d", "b"]
    assert head.select(rows).classes is None
    with pytest.raises(ValueError, match=r"2 rows; got shape \(1,\)"):
        head.select(rows, ["d"])


@EVERY
def test_the_selection_is_independent_and_can_be_trained(name):
    head = MAKERS[name](NAMES)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    chosen = head.select(torch.arange(N_CLASSES))
    chosen(X).square().sum().backward()
    assert all(p.grad is not None and p.requires_grad for p in chosen.parameters())
    torch.optim.SGD(chosen.parameters(), lr=0.1).step()
    for key, value in head.state_dict().items():
        assert value.equal(before[key])
    assert all(p.grad is None for p in head.parameters())
    assert not next(chosen.parameters()).equal(next(head.parameters()))


@EVERY
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_dtype_and_constants_stay(name, dtype):
    head = MAKERS[name]().to(dtype)
    chosen = head.select(torch.tensor([2, 0]))
    state = head.state_dict()
    assert list(chosen.state_dict()) == list(state)
    for key, value in chosen.state_dict().items():
        assert value.dtype == dtype
        if value.shape == state[key].shape:
            assert value.equal(state[key])
    assert chosen.spec() == head.spec()


def test_an_ensemble_selects_in_every_member():
    head = EnsembleHead([cosine(), linear()], classes=NAMES)
    chosen = head.select(torch.tensor([4, 1]), ["e", "b"])
    members = [cosine()(X)[:, [4, 1]], linear()(X)[:, [4, 1]]]
    mean = torch.stack([z.softmax(dim=1) for z in members]).mean(dim=0)
    torch.testing.assert_close(chosen(X).exp(), mean)
    assert chosen.classes.tolist() == ["e", "b"]
    assert [member.n_classes for member in chosen.members] == [2, 2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@EVERY
def test_rows_on_the_cpu_select_on_the_device(name):
    head = MAKERS[name]().cuda()
    chosen = head.select(torch.tensor([3, 0]))
    assert all(value.is_cuda for value in chosen.state_dict().values())
    torch.testing.assert_close(chosen(X.cuda()), head(X.cuda())[:, [3, 0]])
