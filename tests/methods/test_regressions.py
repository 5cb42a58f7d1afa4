"""What once went wrong in estimators."""

import numpy as np
import pytest
import torch

from headtail import (
    ClassStatistics,
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    CountAwareTransferClassifier,
    EnsembleHead,
    LinearClassifier,
    NearestClassMeanClassifier,
    compose,
    evaluate,
)

ALL = [
    LinearClassifier(epochs=1, random_state=0),
    CosineClassifier(epochs=1, random_state=0),
    NearestClassMeanClassifier(),
    CompositionalClassifier(random_state=0),
    CountAwareTransferClassifier(random_state=0),
]
EVERY = pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)


def problem():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [30, 10, 5])
    return rng.normal(size=(45, 4)) + 3 * np.eye(3, 4)[y], y


@EVERY
def test_a_refused_fit_leaves_the_former_one_whole(estimator):
    X, y = problem()
    estimator.fit(X, np.array(["a", "b", "c"])[y])
    before = estimator.predict(X)
    with pytest.raises(ValueError, match="hold NaN or inf"):
        estimator.fit(np.full_like(X, np.nan), np.array(["z", "y", "x"])[y])
    assert estimator.predict(X).tolist() == before.tolist()
    assert estimator.classes_.tolist() == ["a", "b", "c"]


@EVERY
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fit_does_not_mind_the_callers_gradient_mode(estimator, mode):
    X, y = problem()
    expected = estimator.fit(X, y).predict_proba(X)
    with mode():
        ours = estimator.fit(torch.from_numpy(X), torch.from_numpy(y))
    np.testing.assert_array_equal(ours.predict_proba(X), expected)
    if hasattr(ours, "partial_fit"):
        ours.partial_fit(X[:1], [9])


def test_statistics_made_in_inference_mode_go_on():
    with torch.inference_mode():
        statistics = ClassStatistics(2, 2).update(torch.eye(2), torch.tensor([0, 1]))
    statistics.update(torch.eye(2), torch.tensor([0, 1]))
    assert statistics.class_counts.tolist() == [2, 2]


@EVERY
def test_names_of_an_earlier_fit_do_not_stay(estimator):
    X, y = problem()
    estimator.fit(X, y).class_names_ = ("a", "b", "c")
    assert not hasattr(estimator.fit(X, y % 2), "class_names_")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_layer_is_composed_in_float32(dtype):
    X, y = problem()
    layer = torch.nn.Linear(4, 3).to(dtype)
    clf = CompositionalClassifier(layer, donors=0).fit(X, y)
    assert clf.predict_proba(X).dtype == np.float32
    assert layer.weight.dtype == dtype
    clf.head_.to(torch.bfloat16)
    assert np.isfinite(clf.predict_proba(X)).all()


def test_euclidean_means_do_not_mind_a_common_offset():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 40)
    X = (2 * rng.normal(size=(5, 64))[y] + rng.normal(size=(200, 64))) + 10000
    clf = NearestClassMeanClassifier("euclidean").fit(X.astype(np.float32), y)
    assert (clf.predict(X.astype(np.float32)) == y).mean() > 0.99


def test_a_centered_class_may_lie_at_the_mean_of_all():
    clf = NearestClassMeanClassifier("centered")
    clf.fit([[0.0, 1.0], [2.0, 3.0], [1.0, 2.0]], [0, 0, 1])
    assert np.isfinite(clf.predict_proba([[1.0, 2.0]])).all()


def test_cosine_refuses_a_class_of_zeros():
    X, y = problem()
    with pytest.raises(ValueError, match=r"classes \[2\] are zero"):
        CosineClassifier().fit(np.where((y == 2)[:, None], 0.0, X), y)


def test_an_untrained_row_may_be_nan():
    weight = torch.tensor([[1.0, 0.0], [float("nan"), 0.0]])
    trained = torch.tensor([True, False])
    assert compose(torch.eye(2), weight, trained, trained=trained).isfinite().all()


def test_partial_fit_checks_parameters_before_it_changes_anything():
    X, y = problem()
    clf = CompositionalClassifier(random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="'attention' parameter"):
        clf.set_params(attention="nonsense").partial_fit(X[:1], [0])
    assert clf.class_counts_.tolist() == [30, 10, 5]


def test_an_ensemble_takes_its_members_classes_and_refuses_a_quarrel():
    one, other = (CosineHead(torch.eye(2), classes=c) for c in (["a", "b"], ["b", "a"]))
    assert EnsembleHead([one, CosineHead(torch.eye(2))]).classes.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="the same classes in the same order"):
        EnsembleHead([one, other])


def test_three_is_not_three_in_quotes():
    with pytest.raises(TypeError, match="must not mix text and numbers"):
        CosineHead(torch.eye(2), classes=[3, "x"])
    y_true = np.array([0, 1], dtype=object)
    assert evaluate(y_true, np.eye(2), [5, 5])["all"].value == 1.0


def test_the_base_works_where_it_is_told():
    from headtail.methods._base_head import base_classifier

    base = base_classifier(None, CosineClassifier(), random_state=3, device="cpu")
    assert (base.random_state, base.device) == (3, "cpu")
    own = base_classifier(CosineClassifier(random_state=1), None, random_state=3)
    assert own.random_state == 1


def test_sparse_and_complex_tensors_are_refused():
    X, y = problem()
    clf = NearestClassMeanClassifier().fit(X, y)
    for bad in (torch.eye(4).to_sparse(), torch.eye(4, dtype=torch.complex64)):
        with pytest.raises(TypeError, match="dense tensor of real numbers"):
            clf.predict(bad)
