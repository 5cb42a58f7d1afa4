import numpy as np
import pytest

from headtail import AlphaNetClassifier, LinearClassifier, evaluate
from headtail.analysis import sweep_gamma, sweep_n_neighbors

GROUPS = ("many", "medium", "few", "all")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3, 4], [120, 40, 40, 8, 5])
    centers = rng.normal(size=(5, 6))
    X = centers[y] + 0.8 * rng.normal(size=(len(y), 6))
    y_test = np.repeat(np.arange(5), 10)
    X_test = centers[y_test] + 0.8 * rng.normal(size=(50, 6))
    return (X, y), (X_test, y_test)


@pytest.fixture
def estimator():
    base = LinearClassifier(epochs=2)
    return AlphaNetClassifier(base, n_neighbors=2, epochs=3, random_state=0)


def accuracies(fitted, head, test):
    fitted.head_ = head
    result = evaluate(test[1], fitted.predict_proba(test[0]), fitted.class_counts_)
    return [result[name].value for name in (*GROUPS, "top5_accuracy")]


@pytest.mark.parametrize(
    ("sweep", "parameter", "values"),
    [(sweep_gamma, "gamma", (0.2, 0.9)), (sweep_n_neighbors, "n_neighbors", (1, 3))],
)
def test_every_row_is_that_of_a_fit_with_this_value(
    sweep, parameter, values, data, estimator
):
    result = sweep(estimator, *data, values, validation=data[1])
    assert result.parameter == parameter
    assert result.values == values
    assert result.groups == GROUPS
    table = np.column_stack([result.accuracy, result.top5_accuracy])
    for value, row in zip(values, table, strict=True):
        fitted = estimator.set_params(**{parameter: value})
        fitted.fit(*data[0], validation=data[1])
        assert row.tolist() == accuracies(fitted, fitted.head_, data[1])
    base = accuracies(fitted, fitted.base_head_, data[1])
    assert [*result.base_accuracy, result.base_top5_accuracy] == base


def test_the_base_is_fitted_once(data, estimator, monkeypatch):
    fits, fit = [], LinearClassifier.fit

    def counted(self, X, y):
        fits.append(len(X))
        return fit(self, X, y)

    monkeypatch.setattr(LinearClassifier, "fit", counted)
    sweep_gamma(estimator, *data, (0.2, 0.5, 0.9), validation=data[1])
    assert fits == [len(data[0][0])]


def test_the_estimator_is_not_changed(data, estimator):
    before = estimator.get_params(deep=False)
    sweep_n_neighbors(estimator, *data, (1,), validation=data[1])
    assert estimator.get_params(deep=False) == before
    assert not hasattr(estimator, "head_")


def test_the_papers_values_are_the_defaults(data, estimator, monkeypatch):
    monkeypatch.setattr(estimator, "epochs", 1)
    assert sweep_gamma(estimator, *data, validation=data[1]).values == (
        *(0.1, 0.2, 0.3, 0.4, 0.5),
        *(0.6, 0.7, 0.8, 0.9),
    )
    with pytest.warns(UserWarning, match="n_neighbors is"):
        result = sweep_n_neighbors(estimator, *data, validation=data[1])
    assert result.values == (2, 5, 10)
    # There are three base classes: 5 and 10 neighbours are all of them.
    assert result.accuracy[1].tolist() == result.accuracy[2].tolist()


def test_a_group_that_is_not_in_the_test_data_is_undefined(data, estimator):
    X, y = data[1]
    result = sweep_gamma(estimator, data[0], (X[y < 3], y[y < 3]), (0.5,))
    assert np.isnan(result.accuracy[0, GROUPS.index("few")])
    assert np.isfinite(result.accuracy[0, GROUPS.index("many")])


def test_what_cannot_be_swept_is_refused(data, estimator):
    with pytest.raises(TypeError, match="AlphaNetClassifier; got LinearClassifier"):
        sweep_gamma(LinearClassifier(), *data)
    with pytest.raises(ValueError, match="a value of gamma at least"):
        sweep_gamma(estimator, *data, ())
    with pytest.raises(ValueError, match=r"must be an int.*share one base; got None"):
        sweep_gamma(estimator.set_params(random_state=None), *data)
