"""The base of a meta-estimator: its rows in order, itself untouched."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headtail import (
    CosineClassifier,
    LinearClassifier,
    LogitAdjustedClassifier,
    NearestClassMeanClassifier,
)
from headtail.heads import (
    AffineHead,
    CausalNormHead,
    CosineHead,
    DisAlignHead,
    EnsembleHead,
    LinearHead,
)
from headtail.methods._base_head import aligned_head, base_classifier, fitted_base

CPU = torch.device("cpu")
NAMES = np.array(["ant", "bee", "cat", "dog"])
X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
POSITIONS = torch.arange(20) % 4
WEIGHT = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
ROW = torch.arange(4.0)


def heads(classes=None):
    linear = LinearHead(WEIGHT, ROW, center=torch.ones(3), classes=classes)
    cosine = CosineHead(WEIGHT, 3.0, classes=classes)
    return {
        "linear": linear,
        "cosine": cosine,
        "affine": AffineHead(cosine, ROW, ROW),
        "disalign": DisAlignHead(linear, ROW, ROW, torch.ones(3)),
        "causal-norm": CausalNormHead(
            WEIGHT, torch.ones(3), n_chunks=3, classes=classes
        ),
        "ensemble": EnsembleHead([linear, cosine]),
    }


EVERY = pytest.mark.parametrize("kind", heads())


@EVERY
def test_rows_match_labels_by_value(kind):
    order = [2, 0, 3, 1]
    head = heads(NAMES[order])[kind]
    aligned = aligned_head(head, NAMES, 3, CPU)
    assert aligned.classes.tolist() == NAMES.tolist()
    torch.testing.assert_close(aligned(X), head(X)[:, np.argsort(order)])


@EVERY
def test_rows_without_classes_are_those_of_the_sorted_labels(kind):
    head = heads()[kind]
    aligned = aligned_head(head, NAMES, 3, CPU)
    assert aligned.classes.tolist() == NAMES.tolist()
    assert aligned(X).equal(head(X))
    assert head.classes is None


def test_rows_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"it has 4 rows, y has 3 distinct.*classes="):
        aligned_head(heads()["linear"], NAMES[:3], 3, CPU)


def test_a_class_without_row_is_refused():
    head = LinearHead(WEIGHT[:2], classes=["bee", "dog"])
    with pytest.raises(
        ValueError, match=r"a row for every class in y; .* \['ant', 'cat'\]. Train"
    ):
        aligned_head(head, NAMES, 3, CPU)


def test_a_row_without_example_is_refused():
    with pytest.raises(
        ValueError, match=r"must have an example in y; \['bee', 'dog'\] have none"
    ):
        aligned_head(LinearHead(WEIGHT, classes=NAMES), NAMES[[0, 2]], 3, CPU)


def test_labels_of_another_type_are_not_those_of_the_head():
    head = LinearHead(WEIGHT, classes=["0", "1", "2", "3"])
    with pytest.raises(ValueError, match=r"it has none for \[0, 1, 2, 3\]"):
        aligned_head(head, np.arange(4), 3, CPU)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match="must take the 5 features of X; it takes 3"):
        aligned_head(heads()["linear"], NAMES, 5, CPU)


@EVERY
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_is_promoted(kind, dtype, expected):
    head = heads()[kind].to(dtype)
    aligned = aligned_head(head, NAMES, 3, CPU)
    assert {value.dtype for value in aligned.state_dict().values()} == {expected}
    assert {value.dtype for value in head.state_dict().values()} == {dtype}


@EVERY
def test_the_head_given_is_never_changed(kind):
    head = heads(NAMES)[kind]
    before = {name: value.clone() for name, value in head.state_dict().items()}
    aligned = aligned_head(head, NAMES, 3, CPU)
    with torch.no_grad():
        for value in aligned.state_dict().values():
            value.add_(1)
    assert all(value.equal(before[n]) for n, value in head.state_dict().items())
    assert head.classes.tolist() == NAMES.tolist()
    aligned.classes[0] = "fox"
    assert head.classes.tolist() == NAMES.tolist()


def test_a_last_layer_is_a_linear_head():
    layer = torch.nn.Linear(3, 4)
    head = base_classifier(layer, LinearClassifier())
    assert type(head) is LinearHead
    torch.testing.assert_close(head(X), layer(X))
    assert base_classifier(torch.nn.Linear(3, 4, bias=False), None).bias is None
    given = CosineHead(WEIGHT)
    assert base_classifier(given, LinearClassifier()) is given


def test_an_estimator_is_cloned_and_none_is_the_default():
    own, default = LinearClassifier(epochs=3), CosineClassifier(epochs=2)
    clone = base_classifier(own, default)
    assert type(clone) is LinearClassifier
    assert clone is not own
    assert clone.epochs == 3
    chosen = base_classifier(None, default)
    assert (type(chosen), chosen.epochs) == (CosineClassifier, 2)
    assert chosen is not default


def test_settings_go_to_an_estimator_that_has_none_of_its_own():
    free = base_classifier(LinearClassifier(), None, random_state=5, device="cpu")
    assert (free.random_state, free.device) == (5, "cpu")
    own = base_classifier(LinearClassifier(random_state=0), None, random_state=5)
    assert own.random_state == 0
    without = base_classifier(NearestClassMeanClassifier(), None, random_state=5)
    assert "random_state" not in without.get_params()


@pytest.mark.parametrize("base", [LogisticRegression(), torch.nn.ReLU(), "linear", 3])
def test_what_is_no_base_is_refused(base):
    with pytest.raises(TypeError, match=rf"base must be .*; got {type(base).__name__}"):
        base_classifier(base, LinearClassifier())


def outer(base, **options):
    """A meta-estimator that has seen its data, as `fitted_base` expects it."""
    clf = LogitAdjustedClassifier(base, **options)
    clf._open_fit(X, NAMES[POSITIONS])
    return clf


def test_an_estimator_is_fitted_with_seed_and_labels_of_the_outer_one():
    head = fitted_base(
        outer(None, random_state=4), CosineClassifier(epochs=1), X, POSITIONS
    )
    expected = CosineClassifier(epochs=1, random_state=4).fit(X, NAMES[POSITIONS]).head_
    assert head.weight.equal(expected.weight)
    assert head.classes.tolist() == NAMES.tolist()


def test_a_trained_head_is_copied_in_order():
    given = CosineHead(WEIGHT, classes=NAMES[::-1])
    head = fitted_base(outer(given), LinearClassifier(), X, POSITIONS)
    assert head is not given
    assert head.weight.equal(given.weight.flip(0))


def test_the_estimator_given_is_not_fitted():
    base = LinearClassifier(epochs=1)
    fitted_base(outer(base, random_state=0), CosineClassifier(), X, POSITIONS)
    assert not hasattr(base, "head_")
    assert base.random_state is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@EVERY
def test_the_copy_lies_where_the_work_is_done(kind):
    head = heads(NAMES[::-1])[kind]
    aligned = aligned_head(head, NAMES, 3, torch.device("cuda"))
    assert all(value.is_cuda for value in aligned.state_dict().values())
    assert not any(value.is_cuda for value in head.state_dict().values())
