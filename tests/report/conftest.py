"""A comparison with every part that a report has, and a report made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from headtail import CompositionalClassifier, CosineClassifier, FeatureSet
from headtail.datasets import ImageSet
from headtail.report import build_report
from headtail.report.model import (
    Calibration,
    ClassTable,
    Confusion,
    GainBars,
    Group,
    MethodResult,
    Number,
    Report,
)
from headtail.workflow import compare

# One of them is no text that a page may take for anything else.
HOSTILE = '<script>alert("x")</script>'
NAMES = ("ant", HOSTILE, "bee & $wasp$", "猫", "cat", "dog", "elk", "fox", "gnu", "hen")
COUNTS = (3, 150, 30, 2, 120, 9, 5, 19, 20, 101)
ABSENT = "gnu"
UNCHANGED = {"many": 0, "medium": 0, "few": 0}


def draw(counts, seed, names=NAMES):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centers = np.random.default_rng(7).normal(size=(len(counts), 8))
    features = centers[labels] + rng.normal(size=(len(labels), 8))
    return FeatureSet(features.astype(np.float32), labels, names)


@pytest.fixture(scope="session")
def comparison():
    sizes = [0 if name == ABSENT else 6 for name in NAMES]
    methods = {
        "base": CosineClassifier(epochs=5, random_state=0),
        "transfer": CompositionalClassifier(
            CosineClassifier(epochs=5, random_state=0), donors=(0, 100)
        ),
    }
    return compare(methods, draw(COUNTS, 0), draw(sizes, 1), n_replicates=200)


@pytest.fixture(scope="session")
def report(comparison):
    return build_report(comparison)


@pytest.fixture(scope="session")
def images():
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(len(NAMES), 20, 30, 3), dtype=np.uint8)
    return ImageSet(pixels, np.arange(len(NAMES)), NAMES)


def number(value, low=None, high=None):
    return Number(value, low, high, n=60, n_classes=6)


def confused(share=0.2, error=0.1):
    """Return a confusion whose few-shot mistakes go to the head in this share."""
    return Confusion(((0.5, 0.1, 0.2, 0.2),) * 3, (), share, error)


def result(name, figures=None, gains=None, **parts):
    """Return a method's result; figures and gains that are not named are 0.5 and 0."""
    every = ("all", "many", "medium", "few", "micro_accuracy")
    known = {"all": (0.5, 0.4, 0.6), "many": (0.5, 0.4, 0.6)} | (figures or {})
    calm = Calibration((0.5,), (0.5,), (20,), 0.0, 0.1)
    made = MethodResult(
        name=name,
        figures={key: number(*known.get(key, (0.5, 0.4, 0.6))) for key in every},
        gains={key: number(*(gains or {}).get(key, (0.0, -0.1, 0.1))) for key in every},
        recall=(0.5, 0.5, 0.5, 0.5),
        trend=(0.5,),
        calibration=dict.fromkeys(("all", "many", "medium", "few"), calm),
        confusion=confused(),
        gain_bars=GainBars(
            (0.0, 0.05), {"many": (1,), "medium": (1,), "few": (2,)}, UNCHANGED
        ),
        donors=None,
        gain_at_distance=(),
        maps=(),
        settings=(),
    )
    return replace(made, **parts)


def by_hand(*, method="new", **parts):
    """Return a report of two methods of four classes, with other parts replaced."""
    made = Report(
        method=method,
        chosen_by="asked for",
        reference="old",
        answer="",
        classes=ClassTable(
            names=("a", "b", "c", "d"),
            counts=(200, 50, 9, 3),
            sizes=(10, 10, 10, 10),
            groups=("many", "medium", "few", "few"),
        ),
        groups=(
            Group("many", "> 100", 5, 5, 50),
            Group("medium", "20 to 100", 5, 5, 50),
            Group("few", "< 20", 5, 5, 50),
        ),
        methods=(result("old"), result("new")),
        trend_ranks=(0,),
        rivals=("new",),
        shared_examples=0,
        findings=(),
        facts=(),
    )
    return replace(made, **parts)


@pytest.fixture
def make_report():
    return by_hand


@pytest.fixture
def make_result():
    return result
