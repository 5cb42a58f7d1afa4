"""Heads that are linear in features or directions, as one linear head."""

import numpy as np
import pytest
import torch

from headtail.heads import (
    AffineHead,
    CausalNormHead,
    CosineHead,
    DisAlignHead,
    EnsembleHead,
    LinearHead,
    linear_form,
)

GENERATOR = torch.Generator().manual_seed(0)
X, WEIGHT = (
    torch.randn(n, 5, generator=GENERATOR, dtype=torch.float64) for n in (9, 4)
)
X[0] = 0
BIAS, SCALE, SHIFT, CENTER = (
    torch.randn(n, generator=GENERATOR, dtype=torch.float64) for n in (4, 4, 4, 5)
)
LABELS = np.array(["ant", "bee", "cat", "dog"])


def affine(head):
    return AffineHead(head, SCALE, SHIFT)


def cosine():
    return CosineHead(WEIGHT, 7.0, classes=LABELS)


LINEAR = {
    "bare": LinearHead(WEIGHT, classes=LABELS),
    "biased": LinearHead(WEIGHT, BIAS, classes=LABELS),
    "centred": LinearHead(WEIGHT, BIAS, center=CENTER, normalize=True, classes=LABELS),
}
FOLDED = {
    "cosine": cosine(),
    "scaled cosine": affine(cosine()),
    "scaled twice": affine(affine(cosine())),
    **{f"scaled {name}": affine(head) for name, head in LINEAR.items()},
    "bare, scaled twice": affine(affine(LINEAR["bare"])),
    "centred, scaled twice": affine(affine(LINEAR["centred"])),
}


@pytest.mark.parametrize("head", LINEAR.values(), ids=LINEAR)
def test_a_linear_head_is_returned_as_it_is(head):
    assert linear_form(head) is head


@pytest.mark.parametrize("head", FOLDED.values(), ids=FOLDED)
def test_logits_and_classes_are_those_of_the_head(head):
    ours = linear_form(head)
    assert type(ours) is LinearHead
    torch.testing.assert_close(ours(X), head(X), rtol=1e-12, atol=1e-12)
    assert ours.classes.tolist() == LABELS.tolist()
    assert ours.weight.dtype == torch.float64


@pytest.mark.parametrize("head", FOLDED.values(), ids=FOLDED)
def test_the_head_itself_is_neither_changed_nor_shared(head):
    before = {name: value.clone() for name, value in head.state_dict().items()}
    ours = linear_form(head)
    assert all(parameter.is_leaf for parameter in ours.parameters())
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    assert all(value.equal(before[name]) for name, value in head.state_dict().items())


def test_a_row_of_zeros_has_logit_zero():
    weight = WEIGHT.clone()
    weight[2] = 0
    assert (linear_form(CosineHead(weight))(X)[:, 2] == 0).all()


def test_labels_are_those_of_the_outermost_head():
    renamed = AffineHead(cosine(), SCALE, SHIFT, classes=[4, 5, 6, 7])
    assert linear_form(renamed).classes.tolist() == [4, 5, 6, 7]
    assert linear_form(affine(CosineHead(WEIGHT))).classes is None


@pytest.mark.parametrize("wrap", [lambda head: head, affine], ids=["bare", "wrapped"])
@pytest.mark.parametrize(
    "head",
    [
        EnsembleHead([cosine()]),
        CausalNormHead(WEIGHT, CENTER, n_chunks=1),
        DisAlignHead(cosine(), SCALE, SHIFT, CENTER),
    ],
    ids=lambda head: type(head).__name__,
)
def test_a_head_without_one_weight_per_class_is_refused(head, wrap):
    name = type(head).__name__
    with pytest.raises(TypeError, match=f"one weight vector per class .*got {name}"):
        linear_form(wrap(head))
