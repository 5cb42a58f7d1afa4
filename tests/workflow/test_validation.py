"""Validation data and shared bases on the way from feature sets to classifiers."""

import numpy as np
import pytest

from headtail import FeatureSet, LinearClassifier, TauNormalizedClassifier, compare
from headtail.registry import METHODS
from headtail.workflow import fit_method

LINEAR = {"base": LinearClassifier(epochs=3)}


@pytest.fixture
def held(make_data):
    return make_data([5, 5, 5, 5], seed=2, spread=2.0)


def test_validation_data_are_what_tau_is_chosen_on(train, held):
    classifier = fit_method(train, "tau-norm", LINEAR, validation=held)
    expected = TauNormalizedClassifier(random_state=0, **LINEAR)
    expected.fit(
        train.features, train.targets, validation=(held.features, held.targets)
    )
    np.testing.assert_array_equal(
        classifier.selection_.scores, expected.selection_.scores
    )
    assert classifier.selection_.data == "the validation data given to fit"
    assert classifier.tau_ == expected.tau_


def test_validation_classes_match_by_name(train, held, renumbered):
    other = renumbered(held, [2, 0, 3, 1])
    first = fit_method(train, "tau-norm", LINEAR, validation=held)
    second = fit_method(train, "tau-norm", LINEAR, validation=other)
    np.testing.assert_array_equal(first.selection_.scores, second.selection_.scores)


def test_a_validation_class_that_is_not_trained_is_refused(train, make_data):
    stranger = make_data([2, 2], seed=3, names=("ant", "gnu"))
    with pytest.raises(ValueError, match=r"\['gnu'\] are not"):
        fit_method(train, "tau-norm", LINEAR, validation=stranger)


def test_methods_that_choose_nothing_refuse_validation_data(train, held):
    able = r"\['tau-norm', 'logit-adjustment', 'alphanet', .*'metamodelnet'\]"
    with pytest.raises(ValueError, match=f"'ncm' chooses nothing .* {able}"):
        fit_method(train, "ncm", validation=held)


def test_equal_bases_are_fitted_once_in_a_comparison(train, test_set, monkeypatch):
    fits = []
    fit = LinearClassifier.fit

    def counted(self, X, y):
        fits.append(len(X))
        return fit(self, X, y)

    monkeypatch.setattr(LinearClassifier, "fit", counted)
    names = ["lws", "disalign", "logit-adjustment"]
    together = compare(names, train, test_set, n_replicates=0)
    assert fits == [51]
    alone = [compare([name], train, test_set, n_replicates=0) for name in names]
    assert len(fits) == 4
    for name, one in zip(names, alone, strict=True):
        np.testing.assert_array_equal(together.predictions[name], one.predictions[name])


def test_the_command_takes_validation_data(tmp_path, train, held, monkeypatch, capsys):
    from headtail.cli import main

    monkeypatch.chdir(tmp_path)
    train.save("train.npz")
    held.save("val.npz")
    words = "headtail fit train.npz --method tau-norm --validation val.npz -o a"
    monkeypatch.setattr("sys.argv", words.split())
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None)
    expected = fit_method(train, "tau-norm", validation=held)
    note = f"Chosen on the validation data given to fit: {{'tau': {expected.tau_}}}."
    assert note in capsys.readouterr().err


def test_a_row_with_parameters_is_built_with_them():
    rows = [row for row in METHODS if row.parameters]
    assert rows
    for row in rows:
        built = row.build().get_params(deep=False)
        assert row.parameters.items() <= built.items()


def test_labels_alone_match_by_value(train, held):
    plain = FeatureSet(train.features, train.labels)
    validation = FeatureSet(held.features, held.labels)
    classifier = fit_method(plain, "tau-norm", LINEAR, validation=validation)
    assert classifier.selection_.n_samples == 20
