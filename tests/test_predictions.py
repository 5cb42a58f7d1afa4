import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headtail.predictions import Predictions

PROBA = np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])
NAMES = np.array(["cat", "ox, old", 'the "lynx"'])


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0]),
    )
)
def test_best_classes_match_python_sorting(proba):
    # Equal probabilities stand in the order of classes.
    classes = np.arange(proba.shape[1])[::-1] * 10
    result = Predictions.from_proba(proba, classes)
    for i, row in enumerate(proba.tolist()):
        best = sorted(range(len(row)), key=lambda c: (-row[c], c))[:5]
        assert result.top[i].tolist() == [classes[c] for c in best]
        assert result.top_probability[i].tolist() == [row[c] for c in best]
        assert best[0] == int(np.argmax(row))


@pytest.mark.parametrize(("n_classes", "n_best"), [(1, 1), (4, 4), (5, 5), (6, 5)])
def test_at_most_five_classes_are_kept(n_classes, n_best):
    result = Predictions.from_proba(np.ones((2, n_classes)), np.arange(n_classes))
    assert result.top.shape == (2, n_best)
    assert result.top_probability.shape == (2, n_best)
    assert result.true is None


def test_csv_has_a_line_per_sample(tmp_path):
    path = tmp_path / "result.csv"
    Predictions.from_proba(PROBA, np.array([7, 8, 9]), np.array([9, 7])).save(path)
    assert path.read_bytes().decode() == (
        "label,probability,top1,top2,top3,top1_probability,top2_probability,"
        "top3_probability,true\n"
        "8,0.6,8,9,7,0.6,0.3,0.1,9\n"
        "7,0.5,7,8,9,0.5,0.25,0.25,7\n"
    )


def test_csv_without_true_labels_has_no_such_column(tmp_path):
    path = tmp_path / "result.csv"
    Predictions.from_proba(PROBA, np.array([7, 8, 9])).save(path)
    assert path.read_text().splitlines()[0].endswith("top3_probability")


def test_csv_keeps_names_with_commas_quotes_and_umlauts(tmp_path):
    path = tmp_path / "result.csv"
    names = np.array(["größe", "ox, old", 'the "lynx"'])
    Predictions.from_proba(PROBA, names, names[:2]).save(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["ox, old", "größe"]
    assert [row["top2"] for row in rows] == ['the "lynx"', "ox, old"]
    assert [row["true"] for row in rows] == ["größe", "ox, old"]


def test_csv_keeps_every_digit(tmp_path):
    path = tmp_path / "result.csv"
    proba = np.array([[1 / 3, 2 / 3]])
    Predictions.from_proba(proba, np.array([0, 1])).save(path)
    with path.open() as file:
        row = next(csv.DictReader(file))
    assert float(row["top1_probability"]) == 2 / 3
    assert float(row["top2_probability"]) == 1 / 3


@pytest.mark.parametrize("classes", [np.array([7, 8, 9]), NAMES])
@pytest.mark.parametrize("known", [True, False])
def test_npz_holds_the_arrays(tmp_path, classes, known):
    path = tmp_path / "result.npz"
    true = classes[[2, 0]] if known else None
    result = Predictions.from_proba(PROBA, classes, true)
    result.save(path)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    expected = {
        "label": classes[[1, 0]],
        "probability": np.array([0.6, 0.5]),
        "top5": classes[[[1, 2, 0], [0, 1, 2]]],
        "top5_probability": np.array([[0.6, 0.3, 0.1], [0.5, 0.25, 0.25]]),
    }
    if known:
        expected["true"] = true
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].tolist() == array.tolist()


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_same_predictions_give_the_same_bytes(tmp_path, suffix):
    result = Predictions.from_proba(PROBA, NAMES)
    for name in ("first", "second"):
        result.save(tmp_path / (name + suffix))
    first, second = ((tmp_path / (n + suffix)) for n in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["result.json", "result", "result.CSV"])
def test_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name} must end in \.csv or \.npz"):
        Predictions.from_proba(PROBA, NAMES).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text("old")
    result = Predictions.from_proba(PROBA, NAMES, true=np.array(["cat"]))
    with pytest.raises(ValueError, match="shorter"):
        result.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
