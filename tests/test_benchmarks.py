"""The page of benchmarks shows what the benchmark measured."""

import json
from pathlib import Path

import pytest

from benchmarks import (
    count_aware,
    count_aware_choices,
    image_tables,
    learned_transfer,
)
from benchmarks.method_tables import pages, table
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
