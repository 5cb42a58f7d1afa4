"""Methods that are fitted on statistics are those that are fitted on examples."""

import numpy as np
import pytest
import torch

from headtail import (
    CompositionalClassifier,
    CosineClassifier,
    CosineHead,
    FeatureSet,
    NearestClassMeanClassifier,
    load_classifier,
)
from headtail.statistics import (
    ClassStatistics,
    StoredStatistics,
    holds_statistics,
    save_statistics,
)
from headtail.workflow import fit_on_statistics

rng = np.random.default_rng(0)
LABELS = np.array(["ant", "bee", "cat"])
Y = np.repeat([0, 1, 2], [30, 9, 3])
X = (rng.normal(size=(3, 5))[Y] + 0.3 * rng.normal(size=(42, 5))).astype(np.float32)
STATISTICS = ClassStatistics(3, 5).update(X, Y)
BASE = CosineHead(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)))
METHODS = [
    NearestClassMeanClassifier(),
    NearestClassMeanClassifier("euclidean"),
    CompositionalClassifier(BASE),
    CompositionalClassifier(BASE, donors=("prototypes", 5), scale=3.0),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_it_is_the_fit_on_the_examples(method, tmp_path):
    whole = type(method)(**method.get_params(deep=False)).fit(X, LABELS[Y])
    method.fit_statistics(STATISTICS, LABELS)
    np.testing.assert_array_equal(method.classes_, LABELS)
    np.testing.assert_array_equal(method.class_counts_, [30, 9, 3])
    np.testing.assert_allclose(
        method.predict_proba(X), whole.predict_proba(X), rtol=1e-6
    )
    method.save_classifier(tmp_path / "a.safetensors")
    whole.save_classifier(tmp_path / "b.safetensors")
    again = load_classifier(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X), method.predict_proba(X))
    more = again.partial_fit(X[:2], ["ant", "dog"])
    assert more.predict_proba(X).shape == (42, 4)


def test_the_statistics_stay_their_owners():
    before = STATISTICS.sums.clone()
    method = NearestClassMeanClassifier().fit_statistics(STATISTICS)
    assert method.classes_.tolist() == [0, 1, 2]
    method.partial_fit(X[:3], [0, 0, 0])
    assert torch.equal(STATISTICS.sums, before)


@pytest.mark.parametrize(
    ("method", "statistics", "classes", "error", "message"),
    [
        (METHODS[0], X, None, TypeError, "got ndarray"),
        (METHODS[0], STATISTICS, ["a", "b"], ValueError, r"3 distinct .* shape \[2\]"),
        (METHODS[0], STATISTICS, ["a", "b", "a"], ValueError, "3 distinct labels"),
        (
            METHODS[0],
            ClassStatistics(2, 5).update(X[:1], [0]),
            None,
            ValueError,
            r"\[1\]",
        ),
        (
            METHODS[0],
            ClassStatistics(1, 5).update(X[:1], [0]),
            None,
            ValueError,
            "got 1 cl",
        ),
        (
            METHODS[0],
            ClassStatistics(2, 5).update(np.eye(2, 5) - np.eye(1, 5), [0, 1]),
            None,
            ValueError,
            "all zero",
        ),
        (CompositionalClassifier(), STATISTICS, None, ValueError, "a trained head"),
        (
            CompositionalClassifier(CosineClassifier()),
            STATISTICS,
            None,
            ValueError,
            "got CosineClassifier",
        ),
        (
            CompositionalClassifier(CosineHead(torch.ones(3, 4))),
            STATISTICS,
            None,
            ValueError,
            "5 features",
        ),
        (
            CompositionalClassifier(BASE, donors=30),
            STATISTICS,
            None,
            ValueError,
            "has 30",
        ),
    ],
)
def test_what_does_not_fit_is_refused(method, statistics, classes, error, message):
    before = dict(vars(method))
    with pytest.raises(error, match=message):
        method.fit_statistics(statistics, classes)
    assert vars(method) == before or hasattr(method, "head_")


def test_statistics_that_are_not_finite_are_refused():
    broken = STATISTICS.copy()
    broken.unit_sums[1, 2] = torch.nan
    with pytest.raises(ValueError, match="must be finite"):
        NearestClassMeanClassifier().fit_statistics(broken)


def test_the_centered_metric_needs_the_examples():
    assert not hasattr(NearestClassMeanClassifier("centered"), "fit_statistics")


def test_a_file_of_statistics_is_known(tmp_path):
    save_statistics(tmp_path / "a.safetensors", STATISTICS)
    FeatureSet(X, Y).save(tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"nothing")
    BASE.save(tmp_path / "d.safetensors")
    known = [path.stem for path in tmp_path.iterdir() if holds_statistics(path)]
    assert known == ["a"]
    assert not holds_statistics(tmp_path / "none.safetensors")
    assert not holds_statistics(tmp_path)


def test_empty_classes_are_left_out():
    labels = np.array([0, 2, 3])[Y]
    stored = StoredStatistics(
        ClassStatistics(5, 5).update(X, labels), ("a", "b", "c", "d", "e")
    )
    method = fit_on_statistics(stored)
    assert isinstance(method, NearestClassMeanClassifier)
    assert method.classes_.tolist() == [0, 2, 3]
    assert method.class_names_ == ("a", "c", "d")
    whole = NearestClassMeanClassifier().fit(X, labels)
    np.testing.assert_allclose(method.predict_proba(X), whole.predict_proba(X))


def test_what_is_fitted_where_nothing_is_named():
    stored = StoredStatistics(STATISTICS, None)
    method = fit_on_statistics(stored, parameters={"base": BASE})
    assert isinstance(method, CompositionalClassifier)
    assert not hasattr(method, "class_names_")
    with pytest.raises(ValueError, match=r"'linear' needs the examples .*'ncm', 'comp"):
        fit_on_statistics(stored, "linear")
    with pytest.raises(ValueError, match=r"no parameter \['tau'\]"):
        fit_on_statistics(stored, "ncm", {"tau": 1})
