"""Bases that were trained before: a leaked row changes the choice."""

import numpy as np
import pytest
import torch

from headtail import (
    CompositionalClassifier,
    CosineHead,
    LinearClassifier,
    LinearHead,
    LogitAdjustedClassifier,
    SimulatedTailSearch,
    TauNormalizedClassifier,
)
from headtail.selection import trials

OPTIMISTIC = "trained head as base, which may have learned .* the scores are optimistic"
LEAK = {"donors": ["prototypes", "no-transfer"]}


def search(estimator, grid, **options):
    return SimulatedTailSearch(estimator, grid, **{"random_state": 0, **options})


@pytest.fixture
def many_features():
    """Fewer examples than features: what is trained on is known by heart."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(7), [60, 50, 40, 30, 5, 5, 5])
    X = 0.25 * rng.normal(size=(7, 300))[y] + rng.normal(size=(len(y), 300))
    return X.astype(np.float32), y


@pytest.fixture
def rough_head():
    """Eight head classes, eight of 5, and a cosine head of roughly their centres.

    One example says little of its class. The rows of a head that was trained on all
    examples say more, but less than the mean of many.
    """
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(16), [40] * 8 + [5] * 8)
    centers = rng.normal(size=(16, 16))
    X = centers[y] + rng.normal(size=(len(y), 16))
    weight = centers + 0.7 * rng.normal(size=centers.shape)
    return X, y, torch.from_numpy(weight)


def test_a_head_that_knows_what_is_held_back_is_left_uncorrected(many_features):
    base = LinearClassifier(epochs=5, learning_rate=0.1, random_state=0)
    leaked = LinearClassifier(**base.get_params()).fit(*many_features).head_
    grid = {"tau": [0.0, 0.5, 1.0, 2.0]}
    options = {"shots": (4,), "n_repeats": 2}
    honest = search(LogitAdjustedClassifier(base), grid, **options)
    honest.fit(*many_features)
    fooled = search(LogitAdjustedClassifier(leaked), grid, **options)
    with pytest.warns(UserWarning, match=OPTIMISTIC) as caught:
        fooled.fit(*many_features)
    assert caught[0].filename == __file__
    assert fooled.selection_.optimistic
    assert not honest.selection_.optimistic
    assert fooled.best_score_ > honest.best_score_ + 0.1
    assert honest.best_params_ == {"tau": 1.0}
    assert fooled.best_params_ == {"tau": 0.0}


@pytest.mark.parametrize("cls", [LogitAdjustedClassifier, TauNormalizedClassifier])
@pytest.mark.parametrize("kind", ["head", "layer"])
def test_a_trained_base_is_warned_about(cls, kind, data):
    base = torch.nn.Linear(8, 8, dtype=torch.float64)
    if kind == "head":
        base = LinearHead(base.weight, base.bias, classes=list(range(8)))
    with pytest.warns(UserWarning, match=OPTIMISTIC):
        found = search(cls(base), {"tau": [0.0, 1.0]}).fit(*data)
    assert found.selection_.optimistic


def cosine_search(base, **options):
    options = {"shots": (1,), "cut_fraction": 0.5, "n_repeats": 3, **options}
    return search(CompositionalClassifier(base), LEAK, **options)


def test_rows_of_cut_classes_would_change_the_choice(rough_head, monkeypatch, tails):
    X, y, weight = rough_head
    head = CosineHead(weight, classes=list(range(16)))
    honest = cosine_search(head).fit(X, y)
    real = trials._with_rows

    def with_cut_rows(base, classes, kept):
        return real(base, classes, kept | tails[-1].cut.numpy())

    monkeypatch.setattr(trials, "_with_rows", with_cut_rows)
    fooled = cosine_search(head).fit(X, y)
    assert honest.best_params_ == {"donors": "prototypes"}
    assert fooled.best_params_ == {"donors": "no-transfer"}
    assert honest.selection_.optimistic  # for the recall of the head, unlike the tail
    assert "has seen what the other head classes hold back" in honest.selection_.data
    rise = fooled.results_["tail_recall"] - honest.results_["tail_recall"]
    assert rise[0] == 0
    assert rise[1] > 0.1


@pytest.fixture
def bases(monkeypatch):
    """Return the base of every fit of CompositionalClassifier."""
    seen, fit = [], CompositionalClassifier.fit

    def recorded(self, X, y):
        seen.append(self.base)
        return fit(self, X, y)

    monkeypatch.setattr(CompositionalClassifier, "fit", recorded)
    return seen


def test_fits_get_the_rows_of_uncut_classes_and_the_last_all(rough_head, bases, tails):
    X, y, weight = rough_head
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    names = np.array([f"class {i:02}" for i in range(16)])
    head = CosineHead(weight[order], 20.0, classes=names[order.numpy()])
    cosine_search(head).fit(X, names[y])
    assert len(bases) == len(tails) + 1
    for base, tail in zip(bases, tails, strict=False):
        left = names[(~tail.cut & (tail.class_counts > 0)).numpy()]
        assert len(left) == 16 - 4 - 4  # four are cut, four of the real tail left out
        assert sorted(base.classes) == left.tolist()
        rows = [int(np.flatnonzero(names == label)[0]) for label in base.classes]
        assert base.weight.equal(weight[rows])
        assert base.scale == 20.0
    assert sorted(bases[-1].classes) == names.tolist()


def test_the_order_of_the_rows_does_not_matter(rough_head):
    X, y, weight = rough_head
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    results = [
        cosine_search(head).fit(X, y).results_
        for head in (
            CosineHead(weight, classes=list(range(16))),
            CosineHead(weight[order], classes=order.tolist()),
            CosineHead(weight),
        )
    ]
    for other in results[1:]:
        for key in ("score", "tail_recall", "head_recall"):
            np.testing.assert_array_equal(other[key], results[0][key])


def test_a_last_layer_is_searched_as_the_head_it_makes(rough_head, bases):
    X, y, weight = rough_head
    layer = torch.nn.Linear(16, 16, dtype=torch.float64)
    layer.weight.data.copy_(weight)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    found = cosine_search(layer).fit(X, y)
    head = LinearHead(layer.weight, layer.bias, classes=list(range(16)))
    same = cosine_search(head).fit(X, y)
    np.testing.assert_array_equal(found.results_["score"], same.results_["score"])
    np.testing.assert_array_equal(found.predict(X), same.predict(X))
    assert {len(base.classes) for base in bases[:3]} == {8}
    assert all(v.equal(before[k]) for k, v in layer.state_dict().items())


def test_a_head_without_rows_for_some_classes_can_be_searched(rough_head):
    X, y, weight = rough_head
    head = CosineHead(weight[:15], classes=list(range(15)))
    CompositionalClassifier(head).fit(X, y)  # takes it, so the search should
    assert cosine_search(head).fit(X, y).best_params_ == {"donors": "prototypes"}


@pytest.mark.parametrize("n_rows", [12, 15])
def test_a_head_of_another_size_is_refused_with_the_reason(n_rows, rough_head):
    X, y, weight = rough_head  # 16 classes, of which a trial has 12
    message = f"has {n_rows} rows, y has 16 distinct labels"
    with pytest.raises(ValueError, match=message):
        cosine_search(CosineHead(weight[:n_rows]), refit=False).fit(X, y)
