import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from headtail.datasets import ImageSet
from headtail.report import about, thumbnails, to_html, write_html
from headtail.report.model import ClassTable
from tests.report.conftest import HOSTILE, NAMES


class Page(HTMLParser):
    """The tags, texts and scripts of a page, as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.texts, self.open = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self.open != "style":
            self.texts.append(data)

    @property
    def data(self):
        (found,) = [t for a, t in self.scripts if a.get("type") == "application/json"]
        return json.loads(found)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def page(report, images):
    return Page(to_html(report, pictures=thumbnails(report, images)))


def test_the_same_report_gives_the_same_page(report, images, tmp_path):
    pictures = thumbnails(report, images)
    text = to_html(report, pictures=pictures)
    assert to_html(report, pictures=pictures) == text
    write_html(report, tmp_path / "page.html", pictures=pictures)
    assert (tmp_path / "page.html").read_bytes() == text.encode()
    assert len(text) < 8_000_000


def test_the_page_asks_no_server(page):
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)


def test_only_its_own_scripts_may_run(page):
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    allowed = re.findall(r"'sha256-(.*?)'", policy)
    code = [text for attributes, text in page.scripts if not attributes]
    hashes = [hashlib.sha256(text.encode()).digest() for text in code]
    assert allowed == [base64.b64encode(digest).decode() for digest in hashes]
    scripts = policy.split("script-src")[1].split(";")[0]
    assert "unsafe" not in scripts


def test_hostile_names_stay_text(report):
    named = replace(report.methods[1], name=HOSTILE)
    hostile = about(
        replace(report, methods=(report.methods[0], named), rivals=(HOSTILE, "base")),
        HOSTILE,
        HOSTILE,
    )
    text = to_html(hostile, title=HOSTILE)
    found = Page(text)
    assert "<script>alert" not in text
    assert HOSTILE in found.text
    assert len(found.scripts) == len(Page(to_html(report)).scripts)
    assert HOSTILE in found.data["classes"]["names"]
    assert HOSTILE in found.data["methods"]


def test_the_data_are_those_of_the_report(page, report):
    data = page.data
    assert (data["method"], data["reference"]) == ("transfer", "base")
    assert data["classes"]["names"] == list(report.classes.names)
    assert sorted(data["classes"]["names"]) == sorted(NAMES)
    transfer = report.result("transfer")
    hits = data["methods"]["transfer"]["hits"]
    for count, size, recall in zip(
        hits, data["classes"]["sizes"], transfer.recall, strict=True
    ):
        if size:
            assert count / size == pytest.approx(recall, abs=1e-6)
        else:
            assert count is None
    donors = data["methods"]["transfer"]["donors"]
    assert donors["receivers"] == list(range(10))
    assert donors["donors"] == [list(row) for row in transfer.donors.donors]
    for row, shares in zip(donors["shares"], transfer.donors.shares, strict=True):
        assert row == pytest.approx([1000 * share for share in shares], abs=0.5)
    assert len(data["methods"]["transfer"]["maps"]) == len(transfer.maps)
    assert data["methods"]["base"]["donors"] is None
    assert len(data["pictures"]["places"]) == 10


def test_the_page_says_answer_figures_findings_and_origin(page, report):
    assert report.answer in page.text
    for finding in report.findings:
        assert finding.code in page.text
        assert re.sub(r"\s+", " ", finding.text) in page.text
    for name, value in report.facts:
        assert name in page.text
        assert value in page.text
    figure = report.result("transfer").figures["few"]
    assert f"{100 * figure.value:.1f}" in page.text
    assert f"{100 * figure.low:.1f} to {100 * figure.high:.1f}" in page.text


def test_the_row_of_the_answer_is_marked(report):
    for name in ("base", "transfer"):
        text = to_html(about(report, name))
        rows = re.findall(r'<tr class="chosen">\s*<th[^>]*data-value="(.*?)"', text)
        assert rows == [name]


def test_what_is_undefined_is_a_dash_with_its_reason(make_report, make_result):
    none = (None, None, None)
    methods = (make_result("old", {"few": none}), make_result("new", {"few": none}))
    report = about(with_every_figure(make_report(methods=methods)), "new")
    found = Page(to_html(report))
    undefined = [a for t, a in found.tags if t == "td" and a.get("data-value") == ""]
    assert [a["title"] for a in undefined if "title" in a] == [
        "No class of this group is in the test set."
    ] * 2
    assert "nan" not in found.text.lower()
    assert "None" not in found.text


def with_every_figure(report):
    more = ("top5_accuracy", "worst_class_recall", "expected_calibration_error")
    methods = [
        replace(
            method, figures=method.figures | dict.fromkeys(more, method.figures["all"])
        )
        for method in report.methods
    ]
    return replace(report, methods=tuple(methods))


def test_a_report_of_one_method_has_a_page(make_report, make_result):
    alone = make_report(method="old", methods=(make_result("old"),))
    report = about(with_every_figure(alone), "old")
    text = Page(to_html(report)).text
    assert "nothing was compared with it" in text
    assert "No method here composes classifiers" in text


def test_8142_classes_24_methods_and_pictures_stay_below_8_mb(report):
    n = 8142
    rng = np.random.default_rng(0)
    names = tuple(f"Genus{c // 7} species{c}" for c in range(n))
    transfer = report.result("transfer")
    donors = replace(
        transfer.donors,
        receivers=tuple(range(n)),
        donors=tuple(map(tuple, rng.integers(n, size=(n, 5)).tolist())),
        shares=tuple(map(tuple, rng.dirichlet(np.ones(5), n).round(6).tolist())),
        distances=(0.5,) * n,
    )
    recall = tuple((rng.integers(4, size=n) / 3).round(6).tolist())
    methods = tuple(
        replace(
            transfer if number < 4 else report.result("base"),
            name=f"method {number}",
            recall=recall,
            donors=donors if number < 4 else None,
        )
        for number in range(24)
    )
    table = ClassTable(names, (5,) * n, (3,) * n, ("few",) * n)
    large = replace(
        report, classes=table, methods=methods, method="method 1", reference="method 0"
    )
    pixels = rng.integers(256, size=(1000, 32, 32, 3), dtype=np.uint8)
    pictures = thumbnails(large, ImageSet(pixels, np.arange(1000), names))
    assert len(pictures.places) == 800
    page = to_html(large, pictures=pictures)
    assert len(page.encode()) < 8_000_000
    assert len(Page(page).data["methods"]["method 0"]["donors"]["donors"][0]) == 3
