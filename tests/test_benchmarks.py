"""The page of benchmarks shows what the benchmark measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    count_aware,
    count_aware_choices,
    image_tables,
    learned_transfer,
    ratios,
    scale,
    which_method,
)
from benchmarks.__main__ import NAMES
from benchmarks.method_tables import pages, table
from headtail.heads import CosineHead, LinearHead
from headtail.registry import METHODS
from headtail.workflow import TRAINED

ROOT = Path(__file__).parents[1]
RESULTS = json.loads(
    (ROOT / "benchmarks" / "results" / "method_tables.json").read_text("utf-8")
)
IMAGES = json.loads(
    (ROOT / "benchmarks" / "results" / "image_tables.json").read_text("utf-8")
)
PAGE = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
METHOD_ROWS = pytest.mark.parametrize("method", METHODS, ids=lambda row: row.name)


def test_the_page_holds_the_tables_of_the_results():
    assert pages(RESULTS["tables"]) in PAGE


@pytest.mark.parametrize("name", list(RESULTS["tables"]))
def test_every_method_was_measured_with_five_seeds(name):
    rows = RESULTS["tables"][name]
    assert set(rows) == {row.name for row in METHODS}
    assert all(len(row["seeds"]) == 5 for row in rows.values())


def test_a_cell_shows_mean_and_spread_over_seeds():
    row = {
        "seeds": [[0.5, 0.5, 0.5, 0.1], [0.5, 0.5, 0.5, 0.3]],
        "interval": [0.1, 0.2],
    }
    text = table({method.name: row for method in METHODS})
    assert "| linear | 50.0 ± 0.0 | 50.0 ± 0.0 | 50.0 ± 0.0 | 20.0 ± 10.0 |" in text
    assert "[10.0, 20.0]" in text


def test_the_cards_of_learned_transfer_hold_the_tables_of_the_results():
    path = ROOT / "benchmarks" / "results" / "learned_transfer.json"
    tables = json.loads(path.read_text("utf-8"))["tables"]
    cards = ROOT / "docs" / "methods"
    alphanet = (cards / "alphanet.md").read_text("utf-8")
    assert learned_transfer.card_table(tables) in alphanet
    chain = learned_transfer.chain_table(tables, RESULTS["tables"])
    assert chain in (cards / "metamodelnet.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("count_aware", count_aware.pages),
        (
            "count_aware_choices",
            lambda result: count_aware_choices.table(result["sets"]),
        ),
    ],
)
def test_the_card_of_count_aware_transfer_holds_the_tables(name, shown):
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    card = ROOT / "docs" / "methods" / "count-aware-transfer.md"
    result = json.loads(path.read_text("utf-8"))
    assert shown(result) in card.read_text("utf-8")


def test_the_page_holds_the_tables_from_images():
    assert image_tables.pages(IMAGES) in PAGE


def test_all_methods_were_measured_on_the_networks_features():
    assert set(IMAGES["methods"]) == set(image_tables.BASES)
    for rows in IMAGES["methods"].values():
        assert set(rows) == {TRAINED, *(row.name for row in METHODS)}
        n_seeds = {len(row["seeds"]) for row in rows.values()}
        assert n_seeds == {len(image_tables.SEEDS)}


def test_the_page_of_choices_holds_what_the_results_say():
    page = (ROOT / "docs" / "which-method.md").read_text("utf-8")
    assert which_method.page_tables(RESULTS["tables"], IMAGES["methods"]) in page


def row_of(means, spread=0.0, gain=(0.0, 0.0, 0.0)):
    groups = which_method.GROUPS
    means = dict(zip(groups, means, strict=True))
    return which_method.Row(means, dict.fromkeys(groups, spread), gain)


@pytest.mark.parametrize(
    ("below", "gain", "verdict"),
    [
        (0.5, (1.0, 0.5, 1.5), "level"),
        (0.6, (5.0, 4.0, 6.0), "open"),
        (0.6, (1.0, 0.5, 3.9), "behind"),
    ],
)
def test_a_verdict_needs_more_than_the_spread_and_the_intervals(below, gain, verdict):
    best = row_of([0, 0, 0, 50], 0.1, (5.0, 4.0, 6.0))
    other = row_of([0, 0, 0, 50 - below], 0.5, gain)
    assert other.verdict(best) == verdict


def test_a_goal_is_won_by_those_alone_who_may_win():
    rows = {name: row_of([80, 0, 10, 50], 0.1) for name in (m.name for m in METHODS)}
    rows["crt"] = row_of([70, 0, 30, 60], 0.1)
    rows["lws"] = row_of([78, 0, 20, 55], 0.1)
    text = which_method.by_goal({"foreign": rows})
    few = "| few-shot, many-shot at most 2 below `linear` | foreign |"
    assert "| few-shot | foreign | crt | 70.0 ± 0.1 (-10.0) |" in text
    assert f"{few} lws | 78.0 ± 0.1 (-2.0) | 20.0 ± 0.1 (+10.0) |" in text
    assert "crt" not in text.split(few)[1].splitlines()[0]


def test_the_words_of_the_page_of_choices_are_true():
    sets = {name: which_method.read(rows) for name, rows in RESULTS["tables"].items()}
    networks = {n: which_method.read(rows) for n, rows in IMAGES["methods"].items()}
    foreign, native, plankton = (sets[n] for n in ("foreign", "native", "plankton"))
    ranked = which_method.ranked
    for rows in sets.values():
        assert ranked(rows, "all")[0] == "count-aware-transfer"
        assert ranked(rows, "all", which_method.within(rows, 2))[0] == "over-sampling"
        assert rows["cosine"].mean["many"] > rows["linear"].mean["many"]
        assert rows["metamodelnet"].mean["few"] > rows["over-sampling"].mean["few"]
    assert ranked(foreign, "all")[1] == "ldam-drw"
    assert ranked(plankton, "all")[1] == "over-sampling"
    assert ranked(native, "many")[-1] == "count-aware-transfer"
    for rows, best in ((foreign, "all"), (plankton, "all"), (native, None)):
        first = "alphanet-shared" if best else "count-aware-transfer"
        assert ranked(rows, "few")[0] == first
        if best:
            assert rows[first].mean[best] < rows["linear"].mean[best]
    for rows in networks.values():
        ours, other = rows["count-aware-transfer"], rows["ldam-drw"]
        assert ranked(rows, "all")[0] == "ldam-drw"
        assert ours.verdict(other) == "open"
        assert ours.mean["many"] > other.mean["many"]


def small_set():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), np.geomspace(150, 3, 12).astype(int))
    noise = generator.normal(size=(len(labels), 8))
    features = generator.normal(size=(12, 8))[labels] + noise
    return features.astype(np.float32), labels


@METHOD_ROWS
@pytest.mark.usefixtures("short_trainings")
def test_the_page_of_choices_knows_the_kinds_of_heads(method):
    estimator = method.build()
    known = estimator.get_params(deep=False)
    wanted = {"random_state": 0, "epochs": 2}
    estimator.set_params(**{k: v for k, v in wanted.items() if k in known})
    head = estimator.fit(*small_set()).head_
    linear = isinstance(head, LinearHead) and not head.normalize
    assert linear == (method.name in which_method.LINEAR_LAYER)
    cosine = isinstance(head, CosineHead)
    assert cosine == (method.name in which_method.UNIT_FEATURES)


@METHOD_ROWS
@pytest.mark.filterwarnings("ignore:The epoch is chosen on training data")
def test_the_page_of_choices_knows_what_trains_nothing(method, monkeypatch):
    class TrainingError(Exception):
        pass

    def stop(*_, **__):
        raise TrainingError

    X, y = small_set()
    estimator = method.build()
    known = estimator.get_params(deep=False)
    if "base" in known:
        estimator.set_params(base=torch.nn.Linear(8, 12))
    if "tau" in known:
        estimator.set_params(tau=1.0)
    monkeypatch.setattr(torch.autograd, "grad", stop)
    monkeypatch.setattr(torch.Tensor, "backward", stop)
    if method.name in which_method.UNTRAINED:
        estimator.fit(X, y)
    else:
        with pytest.raises(TrainingError):
            estimator.fit(X, y)


def test_the_page_of_scale_holds_what_was_measured():
    page = (ROOT / "docs" / "scale.md").read_text("utf-8")
    results = ROOT / "benchmarks" / "results" / "scale.json"
    for part in scale.tables(json.loads(results.read_text("utf-8"))):
        assert part in page
    assert ratios.table() in page


def test_every_ratio_was_measured():
    assert all(ratio.value() is not None for ratio in ratios.RATIOS)
    assert {ratio.benchmark for ratio in ratios.RATIOS} <= set(NAMES)


@pytest.mark.parametrize(
    ("bound", "at_most", "value", "verdict"),
    [
        (2, True, 2.0, "met"),
        (2, True, 2.1, "missed"),
        (2, False, 2.0, "met"),
        (2, False, 1.9, "missed"),
        (None, True, 1.0, ""),
        (2, True, None, "not measured"),
    ],
)
def test_a_ratio_is_held_to_its_bound(bound, at_most, value, verdict):
    ratio = ratios.Ratio("a / b", "none", (), bound, at_most=at_most)
    assert ratios.verdict(ratio, value) == verdict
    assert ratio.value() is None


def test_work_on_many_machines():
    rate = 1e9
    statistics, merge, compose = scale.STEPS[:3]
    assert statistics.work(1000, 7) == 1000 * 512 * 2
    assert scale.on_machines(statistics, 1e9, 10, rate) == pytest.approx(
        statistics.work(1e9, 10) / rate / 100
    )
    # 100 statistics make 13, 2 and 1: three rounds of eight each.
    size = 10 * 512 * 2 * 8
    assert scale.on_machines(merge, 1e9, 10, rate) == pytest.approx(
        3 * 8 * (size / 1.25e9 + size / rate)
    )
    assert compose.work(1, 100) == 3 * 4 * 100 * 10 * 512
    assert scale.on_machines(compose, 1, 100, rate) == compose.work(1, 100) / rate
