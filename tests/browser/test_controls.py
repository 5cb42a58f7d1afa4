"""What the reader does: sort, point, choose, look up, leaf through."""

import math
import re

import pytest

from tests.browser.pages import HOSTILE, HOSTILE_METHOD, LARGE, METHODS, SMALL, UNTESTED

TITLE = "Tail and head: a comparison of methods"


def heading(page, name):
    exactly = re.compile(f"^{name}$")
    return page.locator("#method-table thead th").filter(has_text=exactly)


def column(page, name):
    """Return the column of this heading as numbers, from the top; empty is NaN."""
    position = heading(page, name).evaluate("cell => cell.cellIndex")
    cells = page.locator(f"#method-table tbody tr > :nth-child({position + 1})")
    texts = cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")
    return [float(text or "nan") for text in texts]


def method_names(page):
    rows = page.locator("#method-table tbody th")
    return rows.evaluate_all("rows => rows.map(row => row.dataset.value)")


def sorts(page):
    cells = page.locator("#method-table thead th")
    return cells.evaluate_all("cells => cells.map(cell => cell.ariaSort)")


def point_at(page, rank, n_classes):
    """Move the pointer over a class in the plot of recalls; return what it says."""
    label = page.locator("#recall-plot .hoverlayer .hovertext text.nums")
    page.mouse.move(0, 0)
    label.wait_for(state="detached")
    area = page.locator("#recall-plot .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    low, high = page.evaluate(
        "document.getElementById('recall-plot').layout.xaxis.range"
    )
    across = (rank - low) / (high - low)
    page.mouse.move(box["x"] + across * box["width"], box["y"] + box["height"] / 2)
    label.wait_for()
    return label.text_content()


def donor_names(page):
    return page.locator("#donor-rows th .class-name").all_text_contents()


def donor_counts(page):
    return map(int, page.locator("#donor-rows td:nth-child(2)").all_text_contents())


def legend(page, plot):
    return page.locator(f"#{plot} .legendtext").all_text_contents()


@pytest.mark.parametrize("name", ["few-shot", "worst class", "few-shot gain"])
def test_heading_sorts_and_turns_the_order(visit, name):
    page = visit("small")
    at_first = column(page, name)
    button = heading(page, name).get_by_role("button")
    button.click()
    assert column(page, name) == sorted(at_first, reverse=True)
    assert heading(page, name).get_attribute("aria-sort") == "descending"
    button.click()
    assert column(page, name) == sorted(at_first)
    assert heading(page, name).get_attribute("aria-sort") == "ascending"


def test_names_of_methods_are_sorted_as_text(visit):
    page = visit("small")
    heading(page, "method").get_by_role("button").click()
    assert method_names(page) == [HOSTILE_METHOD, *sorted(METHODS)]


def test_only_the_sorted_column_says_so(visit):
    page = visit("small")
    assert set(sorts(page)) == {"none"}
    for name in ("few-shot", "top 5"):
        heading(page, name).get_by_role("button").click()
    assert sorted(set(sorts(page))) == ["descending", "none"]
    assert sorts(page).count("descending") == 1


def test_empty_figures_come_last_in_either_order(visit):
    page = visit("small")
    for _ in range(2):
        heading(page, "top 5").get_by_role("button").click()
        assert math.isnan(column(page, "top 5")[-1])
        assert method_names(page)[-1] == HOSTILE_METHOD


def test_table_is_sorted_by_keyboard_alone(visit):
    page = visit("small")
    at_first = column(page, "few-shot")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "few-shot":
            break
    page.keyboard.press("Enter")
    assert column(page, "few-shot") == sorted(at_first, reverse=True)
    page.keyboard.press("Space")
    assert column(page, "few-shot") == sorted(at_first)


def test_first_tab_leads_past_the_header(visit):
    page = visit("small")
    page.keyboard.press("Tab")
    link = page.locator(".skip")
    assert link.evaluate("link => link === document.activeElement")
    assert link.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#methods"


def test_pointer_shows_hostile_names_as_text(visit):
    page = visit("small")
    for rank, name in enumerate(HOSTILE, SMALL - len(HOSTILE)):
        shown = name if len(name) <= 60 else name[:59] + "…"
        said = point_at(page, rank, SMALL)
        assert said.startswith(f"{shown}2 training, 8 test examplesrecall ")
    assert page.title() == TITLE
    assert not page.locator("svg img, svg script, svg b").count()


def test_pointer_shows_a_class_and_its_numbers(visit):
    page = visit("small")
    data = page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    before, after = (
        100 * data["methods"][data[which]]["hits"][40] / 8
        for which in ("reference", "method")
    )
    assert point_at(page, 40, SMALL) == (
        f"bird 040{data['classes']['counts'][40]} training, 8 test examples"
        f"recall {before:.1f} → {after:.1f} %"
    )


def test_pointer_shows_a_dash_for_an_untested_class(visit):
    said = point_at(visit("small"), UNTESTED, SMALL)
    assert said.endswith("0 test examplesrecall – → – %")  # noqa: RUF001


def test_pointer_finds_one_of_8142_classes(visit):
    said = point_at(visit("large"), LARGE // 2, LARGE)
    assert abs(int(said.split()[1][:4]) - LARGE // 2) < 10


def test_other_method_is_drawn_everywhere(visit):
    page = visit("small")
    said = point_at(page, 40, SMALL)
    for name in (HOSTILE_METHOD, "compositional"):
        page.select_option("#after", name)
        shown = name.replace("\n", " ")
        assert f"mean after ({shown})" in legend(page, "recall-plot")
        assert f"after ({shown})" in legend(page, "calibration-plot")
        assert f"after ({name})" in page.locator("#confusion-tables").text_content()
    assert point_at(page, 40, SMALL) != said


def test_reference_has_neither_gains_nor_losses(visit):
    page = visit("large")
    strokes = page.locator("#recall-plot .shape-group path")
    many = strokes.count()
    page.select_option("#after", "cosine")
    # What is left is where the groups meet.
    assert strokes.count() == 2 < many
    assert legend(page, "recall-plot") == ["mean after (cosine)"]


def test_legend_hides_the_gains(visit):
    page = visit("large")
    strokes = page.locator("#recall-plot .shape-group path")
    many = strokes.count()
    position = legend(page, "recall-plot").index("gains")
    page.locator("#recall-plot .legendtoggle").nth(position).click()
    page.wait_for_function(
        "n => document.querySelectorAll('#recall-plot .shape-group path').length < n",
        arg=many,
    )
    assert strokes.count() == 8 + 2


def test_lookup_finds_a_class_and_shows_it_as_text(visit):
    page = visit("large")
    found = page.locator("#lookup-result > ul > li")
    for name in HOSTILE:
        page.fill("#lookup", name[1:].upper())
        assert found.locator(".class-name").first.text_content() == name
        assert found.count() == 1
        assert "few-shot, 2 training and 3 test examples" in found.text_content()
    assert page.title() == TITLE


def test_lookup_says_how_many_it_leaves_out(visit):
    page = visit("small")
    page.fill("#lookup", "bird")
    result = page.locator("#lookup-result")
    n_birds = SMALL - len(HOSTILE)
    assert f"The first 8 of {n_birds} classes:" in result.text_content()
    assert page.locator("#lookup-result > ul > li").count() == 8
    page.fill("#lookup", "no such bird")
    assert result.text_content() == "0 classes:"
    page.fill("#lookup", "")
    assert result.text_content() == ""


def test_lookup_shows_donors_and_pictures(visit):
    page = visit("small")
    page.select_option("#after", "compositional")
    page.fill("#lookup", "bird 150")
    assert page.locator("#lookup-result .donors li").count() == 5
    assert page.locator("#lookup-result .picture").count() == 6
    shown = page.locator("#lookup-result .picture").first
    assert "data:image/jpeg" in shown.evaluate(
        "picture => getComputedStyle(picture).backgroundImage"
    )


def test_donors_are_leafed_through(visit):
    page = visit("small")
    back, ahead = page.locator("#donor-back"), page.locator("#donor-next")
    assert back.is_disabled()
    n_pages = int(page.locator("#donor-page").text_content().split()[3].strip(","))
    seen = donor_names(page)
    for _ in range(n_pages - 1):
        ahead.click()
        seen += donor_names(page)
    assert ahead.is_disabled()
    assert f"{len(seen)} classes" in page.locator("#donor-page").text_content()
    assert len(set(seen)) == len(seen)
    assert seen[-len(HOSTILE) :] == list(HOSTILE)
    back.click()
    assert donor_names(page) == seen[25 * (n_pages - 2) : 25 * (n_pages - 1)]


def test_donors_of_a_group_and_of_a_name(visit):
    page = visit("large")
    assert all(count < 20 for count in donor_counts(page))
    page.select_option("#donor-group", "medium")
    assert all(20 <= count <= 100 for count in donor_counts(page))
    page.locator("#donor-next").click()
    page.select_option("#donor-group", "all")
    page.fill("#donor-filter", '"OWNED"')
    assert donor_names(page) == [HOSTILE[0]]
    assert page.locator("#donor-page").text_content() == "page 1 of 1, 1 class"
    page.fill("#donor-filter", "no such class")
    assert donor_names(page) == []
    assert page.locator("#donor-page").text_content() == "no such class"


@pytest.mark.parametrize(("order", "sign"), [("gain", -1), ("loss", 1)])
def test_donors_are_ordered_by_gain(visit, order, sign):
    page = visit("small")
    page.select_option("#donor-order", order)
    changes = page.locator("#donor-rows td:nth-child(3)").all_text_contents()
    gains = [
        sign * (float(after) - float(before))
        for before, after in (text.split(" → ") for text in changes)
    ]
    assert gains == sorted(gains)
    assert gains[0] < 0


def test_map_follows_the_choice_of_class(visit):
    page = visit("small")
    listed = page.locator("#map-class option").all_text_contents()
    assert len(listed) == 6
    for place, text in enumerate(listed):
        page.select_option("#map-class", index=place)
        name = text.rsplit(" (", 1)[0]
        assert f"{name} (receives)" in legend(page, "map-plot")


def test_map_shows_hostile_names_as_text(visit):
    page = visit("small")
    page.select_option("#map-class", index=5)
    page.locator("#map-plot").scroll_into_view_if_needed()
    # Points lie below the area that takes the pointer.
    page.locator("#map-plot .scatterlayer .point").first.hover(force=True)
    label = page.locator("#map-plot .hoverlayer .hovertext text.nums")
    label.wait_for()
    assert label.text_content().startswith(f"{HOSTILE[-1]} (receives)")
