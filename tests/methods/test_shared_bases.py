"""Equal bases on equal data are fitted once where that is asked for."""

import numpy as np
import pytest
import torch

from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    LinearClassifier,
    LogitAdjustedClassifier,
    WeightScaledClassifier,
)
from headtail.heads import LinearHead
from headtail.methods import shared_bases
from headtail.methods._base_head import fit_base

rng = np.random.default_rng(0)
X = rng.normal(size=(20, 3))
Y = np.repeat([0, 1, 2, 3], 5)


def base(**options):
    return LinearClassifier(**{"epochs": 1, "random_state": 0, **options})


@pytest.fixture
def fits(monkeypatch):
    """Every fit of a linear or cosine base, by its class."""
    counted = []
    for kind in (LinearClassifier, CosineClassifier):
        fit = kind.fit

        def counting(self, X, y, *, fit=fit):
            counted.append(type(self).__name__)
            return fit(self, X, y)

        monkeypatch.setattr(kind, "fit", counting)
    return counted


def test_equal_bases_are_fitted_once(fits):
    with shared_bases():
        first, second = fit_base(base(), X, Y), fit_base(base(), X.copy(), Y.copy())
    assert len(fits) == 1
    assert second is first


def test_outside_nothing_is_kept(fits):
    assert fit_base(base(), X, Y) is not fit_base(base(), X, Y)
    for _ in range(2):
        with shared_bases():
            fit_base(base(), X, Y)
    fit_base(base(), X, Y)
    assert len(fits) == 5


def test_a_failure_inside_ends_the_sharing(fits):
    def fit_and_fail():
        with shared_bases():
            fit_base(base(), X, Y)
            raise RuntimeError("halt")

    with pytest.raises(RuntimeError, match="halt"):
        fit_and_fail()
    fit_base(base(), X, Y)
    assert len(fits) == 2


OTHERS = {
    "seed": (base(random_state=1), X, Y),
    "parameter": (base(epochs=2), X, Y),
    "loss": (base(loss="focal"), X, Y),
    "loss options": (base(loss="focal", loss_options={"gamma": 1.0}), X, Y),
    "class": (CosineClassifier("instance", epochs=1, random_state=0), X, Y),
    "features": (base(), np.where(X[3, 1] == X, 9.0, X), Y),
    "order": (base(), X[::-1], Y),
    "dtype": (base(), X.astype(np.float32), Y),
    "labels": (base(), X, 3 - Y),
    "text labels": (base(), X, Y.astype(str)),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_others_are_fitted_on_their_own(other, fits):
    with shared_bases():
        fit_base(base(), X, Y)
        head = fit_base(*other)
        assert fit_base(*other) is head
    assert len(fits) == 2
    expected = type(other[0])(**other[0].get_params()).fit(*other[1:]).head_
    assert head.weight.equal(expected.weight)


def test_without_a_seed_each_is_its_own(fits):
    with shared_bases():
        first, second = (
            fit_base(CosineClassifier(epochs=1, random_state=None), X, Y)
            for _ in range(2)
        )
    assert len(fits) == 2
    assert not first.weight.equal(second.weight)


def test_a_generator_goes_on_from_fit_to_fit(fits):
    # Without sharing, two fits with one RandomState draw different numbers.
    state = np.random.RandomState(0)
    with shared_bases():
        first, second = (
            fit_base(CosineClassifier(epochs=1, random_state=state), X, Y)
            for _ in range(2)
        )
    assert len(fits) == 2
    assert not first.weight.equal(second.weight)


def test_bases_on_different_heads_are_different():
    # A head is not told from another of its size by its repr.
    with shared_bases():
        first, second = (
            fit_base(LogitAdjustedClassifier(LinearHead(weight), random_state=0), X, Y)
            for weight in (torch.eye(4, 3), 2 * torch.eye(4, 3))
        )
    assert second.weight.equal(2 * first.weight)


def test_bases_with_long_arrays_are_told_apart():
    # An array of more than 1000 numbers is cut short in its repr.
    many = np.arange(1500).repeat(3)
    features = np.ones((4500, 1))
    priors = np.full((2, 1500), 1 / 1500)
    priors[1, 700:702] = [0.5 / 1500, 1.5 / 1500]
    head = LinearHead(torch.zeros(1500, 1))
    with shared_bases():
        first, second = (
            fit_base(
                LogitAdjustedClassifier(head, target_prior=prior, random_state=0),
                features,
                many,
            )
            for prior in priors
        )
    assert not first.bias.equal(second.bias)


def test_tensors_and_arrays_share():
    with shared_bases():
        first = fit_base(base(), X, Y)
        assert fit_base(base(), torch.from_numpy(X), Y) is first
        assert fit_base(base(), X, torch.from_numpy(Y)) is first


def test_meta_estimators_share_and_none_spoils_the_base_of_another(fits):
    methods = [
        LogitAdjustedClassifier(base()),
        WeightScaledClassifier(base(), epochs=1, random_state=0),
        CompositionalClassifier(base(), donors=0),
        LogitAdjustedClassifier(base(), tau=0.5),
    ]
    alone = [method.fit(X, Y).predict_proba(X) for method in methods]
    assert len(fits) == 4
    with shared_bases():
        shared = [method.fit(X, Y).predict_proba(X) for method in methods]
        with torch.no_grad():
            methods[0].base_head_.weight.fill_(7.0)
        again = methods[3].fit(X, Y).predict_proba(X)
    assert len(fits) == 5
    for ours, theirs in zip([*shared, again], [*alone, alone[3]], strict=True):
        np.testing.assert_array_equal(ours, theirs)
