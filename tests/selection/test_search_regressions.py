"""Grids and fits at the edge: empty, wrong, alike, foreign, twice."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    LinearClassifier,
    LinearHead,
    LogitAdjustedClassifier,
    NearestClassMeanClassifier,
    SimulatedTailSearch,
    TauNormalizedClassifier,
)

MEANS = NearestClassMeanClassifier()
LOGITS = LogitAdjustedClassifier(LinearClassifier(epochs=5))


def search(estimator, grid, **options):
    return SimulatedTailSearch(estimator, grid, **{"random_state": 0, **options})


@parametrize_with_checks(
    [SimulatedTailSearch(MEANS, {"metric": ["cosine", "euclidean"]})]
)
def test_contract(estimator, check):
    check(estimator)


def test_an_unknown_parameter_is_refused(data):
    with pytest.raises(ValueError, match="Invalid parameter 'taux' for estimator"):
        search(LOGITS, {"taux": [1.0]}).fit(*data)


@pytest.mark.parametrize("taus", [[-1.0, 1.0], [1.0, -1.0], [1.0, np.nan]])
def test_a_value_out_of_range_is_refused_wherever_it_stands(taus, data):
    with pytest.raises(ValueError, match="'tau' parameter of LogitAdjusted"):
        search(LOGITS, {"tau": taus}, refit=False).fit(*data)


def test_features_that_are_not_finite_are_refused_whoever_would_take_them(data):
    X, y = data
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 rows hold NaN or inf \(rows \[3\]\)"):
        search(DummyClassifier(), {}).fit(X, y)


def test_an_empty_grid_is_the_estimator_as_it_is(data):
    found = search(MEANS, {}).fit(*data)
    assert found.best_params_ == {}
    np.testing.assert_array_equal(
        found.predict(data[0]), MEANS.fit(*data).predict(data[0])
    )


def test_a_grid_without_candidates_is_refused(data):
    with pytest.raises(ValueError, match="need to be a non-empty sequence"):
        search(MEANS, {"metric": []}).fit(*data)
    with pytest.raises(ValueError, match="grid"):
        search(MEANS, []).fit(*data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cut_fraction": 1.0}, "'cut_fraction' parameter of SimulatedTailSearch"),
        ({"n_repeats": 0}, "'n_repeats' parameter of SimulatedTailSearch"),
        ({"max_held_back": 0}, "'max_held_back' parameter of SimulatedTailSearch"),
        ({"refit": "yes"}, "'refit' parameter of SimulatedTailSearch"),
        ({"shots": (0, 4)}, "shots must be integers of at least 1; got"),
        ({"shots": (60,)}, "two classes with at least 180 examples"),
    ],
)
def test_refuses_settings_that_cannot_be(options, message, data):
    with pytest.raises(ValueError, match=message):
        search(MEANS, {}, **options).fit(*data)


def test_a_grid_that_is_text_is_refused(data):
    with pytest.raises(ValueError, match="'grid' parameter of SimulatedTailSearch"):
        search(MEANS, "metric").fit(*data)


def test_an_estimator_of_scikit_learn_is_refitted_and_predicts(data):
    found = search(LogisticRegression(max_iter=500), {"C": [1e-4, 1.0]}).fit(*data)
    alone = LogisticRegression(max_iter=500, **found.best_params_).fit(*data)
    np.testing.assert_array_equal(found.predict(data[0]), alone.predict(data[0]))


def test_a_fit_without_refit_forgets_the_one_before(data):
    found = search(MEANS, {"metric": ["cosine"]}).fit(*data)
    found.set_params(refit=False).fit(*data)
    assert not hasattr(found, "best_estimator_")
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        found.predict(data[0])


def test_without_a_best_estimator_there_is_nothing_to_save(data, tmp_path):
    path = tmp_path / "best.safetensors"
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        search(MEANS, {}).save_classifier(path)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        search(MEANS, {}, refit=False).fit(*data).save_classifier(path)


def test_a_failed_search_leaves_the_one_before(data):
    found = search(MEANS, {"metric": ["cosine"]}).fit(*data)
    before = found.predict(data[0])
    with pytest.raises(ValueError, match="'metric' parameter of NearestClass"):
        found.set_params(grid={"metric": ["manhattan"]}).fit(*data)
    np.testing.assert_array_equal(found.predict(data[0]), before)


def test_donors_may_be_an_array(data):
    cosine = CompositionalClassifier(CosineClassifier(epochs=2), random_state=0)
    listed, array = (
        search(cosine, {"donors": [donors, 20]}, refit=False).fit(*data)
        for donors in ((0, 20), np.array([0, 20]))
    )
    np.testing.assert_array_equal(listed.results_["score"], array.results_["score"])


def test_candidates_that_are_printed_alike_are_fitted_apart(data):
    head = (
        np.bincount(data[1])[data[1]] >= 20
    )  # without a real tail all trials have the same classes
    data = data[0][head], data[1][head]
    priors = [[0.01, 0.96, 0.01, 0.01, 0.01], [0.01, 0.01, 0.96, 0.01, 0.01]]
    priors = [np.array(prior) for prior in priors]
    alone = [
        search(GaussianNB(), {"priors": [prior]}, refit=False).fit(*data).best_score_
        for prior in priors
    ]
    assert alone[0] != alone[1]
    # As arrays of more than a thousand numbers are printed.
    with np.printoptions(threshold=1, edgeitems=1):
        assert repr(priors[0]) == repr(priors[1])
        found = search(GaussianNB(), {"priors": priors}, refit=False).fit(*data)
    np.testing.assert_array_equal(found.results_["score"], alone)


def test_shares_of_all_classes_do_not_hinder_a_trial_that_lacks_some(data):
    prior = np.arange(1, 9) / 36
    found = search(clone(LOGITS).set_params(target_prior=prior), {"tau": [0.5, 1.0]})
    plain = search(LOGITS, {"tau": [0.5, 1.0]})
    scores = [one.fit(*data).results_["score"] for one in (found, plain)]
    np.testing.assert_array_equal(*scores)
    assert found.best_estimator_.target_prior is not None
    assert (found.predict_proba(data[0]) != plain.predict_proba(data[0])).any()


def heads():
    generator = torch.Generator().manual_seed(0)
    return [LinearHead(torch.randn(8, 8, generator=generator)) for _ in range(2)]


def test_trained_heads_in_the_grid_are_candidates_of_their_own(data):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LogitAdjustedClassifier has a trained head")
        alone = [
            search(LogitAdjustedClassifier(head), {}, refit=False).fit(*data)
            for head in heads()
        ]
        found = search(LOGITS, {"base": heads()}, refit=False).fit(*data)
    expected = [one.best_score_ for one in alone]
    assert expected[0] != expected[1]
    np.testing.assert_array_equal(found.results_["score"], expected)


TRAINED = heads()[0]


@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (LOGITS, {"base": [TRAINED]}),
        (LOGITS, [{"tau": [1.0]}, {"base": [TRAINED]}]),
        (LogitAdjustedClassifier(TauNormalizedClassifier(TRAINED, tau=1.0)), {}),
        (
            LogitAdjustedClassifier(TauNormalizedClassifier(tau=1.0)),
            {"base__base": [TRAINED]},
        ),
    ],
    ids=["grid", "listed", "nested", "nested-grid"],
)
def test_a_trained_head_is_warned_about_wherever_it_stands(estimator, grid):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(8), 60)
    X = rng.normal(size=(8, 8))[y] + rng.normal(size=(480, 8))
    with pytest.warns(UserWarning, match="the scores are optimistic"):
        found = search(estimator, grid, refit=False).fit(X, y)
    assert found.selection_.optimistic
