"""The search against fits of every candidate by itself; what it leaves behind."""

import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from headtail import (
    CausalNormClassifier,
    CompositionalClassifier,
    CosineClassifier,
    LinearClassifier,
    LogitAdjustedClassifier,
    NearestClassMeanClassifier,
    SimulatedTailSearch,
    TauNormalizedClassifier,
    load_classifier,
)
from headtail.methods._simulated_tails import weighted_recall

LINEAR = LinearClassifier(epochs=2)
COSINE = CosineClassifier(epochs=2)
# At the default learning rate the logits are so large that tau hardly moves them.
SLOW = LinearClassifier(epochs=5, learning_rate=0.1)
LOGITS = LogitAdjustedClassifier(SLOW, random_state=3)
TAUS = [0.0, 0.3, 1.0, 2.0, 3.0]

SEARCHES = {
    "tau": (TauNormalizedClassifier(LINEAR, random_state=3), {"tau": TAUS}),
    "auto": (
        TauNormalizedClassifier(LINEAR, random_state=3),
        {"tau": [0.0, "auto", 0.7, 2.0]},
    ),
    "logits": (LOGITS, {"tau": TAUS}),
    "nested": (LOGITS, {"tau": [0.0, 1.0, 2.5], "base__epochs": [1, 3]}),
    "listed": (LOGITS, [{"tau": [0.3, 3.0]}, {"base__epochs": [1]}, {}]),
    "compositional": (
        CompositionalClassifier(COSINE, random_state=3),
        {"donors": [20, (0, 20, 30), "no-transfer"], "temperature": [1.0, 30.0]},
    ),
    "attention": (
        CompositionalClassifier(COSINE, random_state=3),
        {
            "attention": ["weight-to-weight", "weight-to-prototype"],
            "include_weight": [True, False],
        },
    ),
    "causal": (CausalNormClassifier(epochs=2, random_state=3), {"alpha": [0.0, 2.0]}),
    "means": (NearestClassMeanClassifier(), {"metric": ["cosine", "euclidean"]}),
    "foreign": (LogisticRegression(max_iter=500), {"C": [1e-4, 1e-2, 1.0]}),
}


def search(estimator=LOGITS, grid=None, **options):
    grid = {"tau": [0.0, 1.0, 2.5]} if grid is None else grid
    return SimulatedTailSearch(estimator, grid, **{"random_state": 0, **options})


@pytest.mark.parametrize("name", SEARCHES)
def test_scores_are_those_of_every_candidate_by_itself(name, data, tails, slow_recalls):
    estimator, grid = SEARCHES[name]
    found = search(estimator, grid, n_repeats=2, cut_fraction=0.5, refit=False)
    found.fit(*data)
    results = found.results_
    assert len(tails) == 2
    counts = torch.from_numpy(np.bincount(data[1]))
    assert any(not tail.cut[7] for tail in tails)  # 24, of which 19 are kept
    scores, of_tail, of_head = [], [], []
    for tail in tails:
        recalls = slow_recalls(estimator, results["params"], *data, tail)
        simulated = torch.where(tail.cut, tail.class_counts, counts)
        score = weighted_recall(torch.from_numpy(recalls), simulated, counts)
        scores.append(score.numpy())
        of_tail.append(recalls[:, tail.cut.numpy()])
        of_head.append(recalls[:, ~tail.cut.numpy()])
    np.testing.assert_allclose(results["score"], np.mean(scores, axis=0))
    np.testing.assert_allclose(results["score_std"], np.std(scores, axis=0), atol=1e-12)
    for key, parts in (("tail_recall", of_tail), ("head_recall", of_head)):
        mean = np.nanmean(np.concatenate(parts, axis=1), axis=1)
        np.testing.assert_allclose(results[key], mean)
    best = int(np.argmax(np.mean(scores, axis=0)))
    assert found.best_params_ == results["params"][best]
    assert found.best_score_ == results["score"].max()


def test_the_scores_tell_candidates_apart(data):
    for name in ("tau", "logits", "compositional"):
        estimator, grid = SEARCHES[name]
        found = search(estimator, grid, refit=False).fit(*data)
        assert len(set(found.results_["score"].tolist())) > 2, name


@pytest.fixture
def fits(monkeypatch):
    """Return the data of every fit of LinearClassifier."""
    seen, fit = [], LinearClassifier.fit

    def counted(self, X, y):
        seen.append((np.asarray(X), np.asarray(y)))
        return fit(self, X, y)

    monkeypatch.setattr(LinearClassifier, "fit", counted)
    return seen


@pytest.mark.parametrize("cls", [TauNormalizedClassifier, LogitAdjustedClassifier])
def test_a_grid_of_numbers_costs_one_fit_and_one_on_all_data(cls, data, fits):
    search(cls(LINEAR), {"tau": [i / 10 for i in range(20)]}).fit(*data)
    assert len(fits) == 2
    np.testing.assert_array_equal(fits[1][0], data[0])
    np.testing.assert_array_equal(fits[1][1], data[1])
    fits.clear()
    grid = {"tau": TAUS, "base__epochs": [1, 2]}
    search(cls(LINEAR), grid, n_repeats=3, refit=False).fit(*data)
    assert len(fits) == 6


def test_fits_see_what_is_kept_and_never_what_is_held_back(data, fits, tails):
    search(n_repeats=3).fit(*data)
    X, y = data
    assert len(fits) == len(tails) + 1
    for (rows, labels), tail in zip(fits, tails, strict=False):
        np.testing.assert_array_equal(rows, X[tail.kept.numpy()])
        np.testing.assert_array_equal(labels, y[tail.kept.numpy()])
        held = {tuple(row) for row in X[tail.held_back.numpy()].tolist()}
        assert not held & {tuple(row) for row in rows.tolist()}


def test_fit_takes_nothing_but_training_data():
    parameters = inspect.signature(SimulatedTailSearch.fit).parameters
    assert list(parameters) == ["self", "X", "y"]


def test_results_and_record_tell_what_was_tried(data, tails):
    found = search(n_repeats=2).fit(*data)
    results, record = found.results_, found.selection_
    keys = {"params", "score", "score_std", "tail_recall", "head_recall"}
    assert set(results) == keys
    assert {len(values) for values in results.values()} == {3}
    assert results["params"] == [{"tau": 0.0}, {"tau": 1.0}, {"tau": 2.5}]
    assert record.candidates == tuple(results["params"])
    assert record.best == found.best_params_
    np.testing.assert_array_equal(record.scores, results["score"])
    assert record.n_samples == sum(int(tail.held_back.sum()) for tail in tails)
    assert record.missing_classes.tolist() == [0, 3, 6]
    assert "2 simulated tail" in record.data
    assert not record.optimistic


def test_one_repeat_has_no_spread(data):
    assert not search(refit=False).fit(*data).results_["score_std"].any()


def test_options_go_to_the_cut(data, tails):
    options = {"shots": (3,), "cut_fraction": 0.7, "max_held_back": 20}
    search(refit=False, **options).fit(*data)
    assert int(tails[0].cut.sum()) == 4  # of the five with 20 examples or more
    assert set(tails[0].class_counts[tails[0].cut].tolist()) == {3}
    assert 15 < int(tails[0].held_back.sum()) <= 20


def test_the_first_of_equal_candidates_is_chosen(data):
    grid = {"validation_fraction": [0.3, 0.1, 0.2]}  # without effect on a given tau
    found = search(grid=grid, refit=False).fit(*data)
    assert len(set(found.results_["score"])) == 1
    assert found.best_params_ == {"validation_fraction": 0.3}


def test_the_best_candidate_is_fitted_on_all_data(data):
    found = search().fit(*data)
    alone = clone(LOGITS)
    alone.set_params(**found.best_params_).fit(*data)
    np.testing.assert_array_equal(
        found.predict_proba(data[0]), alone.predict_proba(data[0])
    )
    assert found.class_counts_.tolist() == np.bincount(data[1]).tolist()


def test_predictions_are_those_of_the_best_estimator(data):
    found = search().fit(*data)
    for name in ("predict", "predict_proba", "decision_function"):
        ours, best = (getattr(e, name)(data[0]) for e in (found, found.best_estimator_))
        np.testing.assert_array_equal(ours, best)


def test_without_refit_there_is_nothing_to_predict_with(data):
    found = search(refit=False).fit(*data)
    assert set(found.best_params_) == {"tau"}
    assert not hasattr(found, "best_estimator_")
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        found.predict(data[0])


def test_the_estimator_given_stays_as_it_was(data):
    given = LogitAdjustedClassifier(LinearClassifier(epochs=5))
    before = repr(given.get_params())
    search(given).fit(*data)
    assert repr(given.get_params()) == before
    assert not any(key.endswith("_") for key in [*vars(given), *vars(given.base)])


def test_same_random_state_same_search(data):
    given = LogitAdjustedClassifier(SLOW)
    first, second, other = (
        search(given, random_state=seed, n_repeats=2).fit(*data) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.results_["score"], second.results_["score"])
    np.testing.assert_array_equal(
        first.predict_proba(data[0]), second.predict_proba(data[0])
    )
    assert first.results_["score"].tolist() != other.results_["score"].tolist()


def test_random_state_is_that_of_the_cuts_too(data, tails):
    means = NearestClassMeanClassifier()  # which draws nothing
    for seed in (0, 0, 1):
        search(means, {}, random_state=seed, refit=False, shots=(4,)).fit(*data)
    assert tails[0].kept.equal(tails[1].kept)
    assert not tails[0].kept.equal(tails[2].kept)


def test_tensors_float32_and_text_labels_are_searched_alike(data):
    X, y = data
    plain = search().fit(X, y)
    for features, labels in (
        (torch.from_numpy(X), torch.from_numpy(y)),
        (X, np.array(list("abcdefgh"))[y]),
        (X.tolist(), 10 * y - 3),
    ):
        found = search().fit(features, labels)
        np.testing.assert_array_equal(found.results_["score"], plain.results_["score"])
        assert found.classes_[plain.predict(X)].tolist() == found.predict(X).tolist()
    single = search().fit(X.astype(np.float32), y)
    np.testing.assert_allclose(
        single.results_["score"], plain.results_["score"], atol=0.02
    )


def test_the_best_estimator_is_saved(data, tmp_path):
    found = search().fit(*data)
    found.save_classifier(tmp_path / "best.safetensors")
    loaded = load_classifier(tmp_path / "best.safetensors")
    assert type(loaded) is LogitAdjustedClassifier
    assert loaded.get_params()["tau"] == found.best_params_["tau"]
    np.testing.assert_array_equal(loaded.predict(data[0]), found.predict(data[0]))
