"""The page as a whole: quiet, alone, closed to strangers, in both schemes, small."""

import sys
import time

import pytest

from tests.browser.pages import HOSTILE

PAGES = ("small", "large")
SCHEMES = ("light", "dark")
# Ways out of the page and into it. Each is tried; the policy must name it.
INTRUSIONS = """async () => {
  const broken = [];
  document.addEventListener("securitypolicyviolation",
    (event) => broken.push(event.effectiveDirective));
  const add = (tag, properties) =>
    document.body.append(Object.assign(document.createElement(tag), properties));
  await fetch("https://example.org/").catch(() => {});
  add("script", {textContent: "window.intruded = true"});
  add("div", {innerHTML: '<img src="data:," onerror="window.intruded = true">'});
  add("img", {src: "https://example.org/dot.png"});
  add("iframe", {src: "https://example.org/"});
  add("link", {rel: "stylesheet", href: "https://example.org/style.css"});
  add("base", {href: "https://example.org/"});
  const form = document.createElement("form");
  form.action = "https://example.org/";
  form.target = "_blank";
  document.body.append(form);
  form.submit();
  await new Promise((done) => setTimeout(done, 300));
  return {broken, intruded: window.intruded ?? false};
}"""
COLORS = """() => {
  const style = (selector) => getComputedStyle(document.querySelector(selector));
  return [style("body").backgroundColor, style("body").color,
    style("#recall-plot .xtitle").fill, style("#map-plot .legendtext").fill];
}"""
N_NODES = "document.querySelectorAll('*').length"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_opens_from_disk_and_draws_every_figure(visit, screenshots, name, scheme):
    page = visit(name, scheme)
    for figure in page.locator(".plot").all():
        assert figure.locator(".main-svg").count(), figure.get_attribute("id")
    assert page.title() == "Tail and head: a comparison of methods"
    page.screenshot(path=screenshots / f"{name}-{scheme}.png", full_page=True)


def test_policy_forbids_scripts_and_addresses(visit):
    page = visit("small")
    failures = {}
    page.on("popup", lambda opened: page.complaints.append(opened.url))
    page.on("requestfailed", lambda one: failures.update({one.url: one.failure}))
    found = page.evaluate(INTRUSIONS)
    assert not found["intruded"]
    assert {
        "connect-src",
        "script-src-elem",
        "script-src-attr",
        "img-src",
        "frame-src",
        "style-src-elem",
        "base-uri",
        "form-action",
    } <= set(found["broken"])
    assert set(failures.values()) == {"csp"}
    # The browser tells of each attempt, which is no fault of the page.
    page.requests = [url for url in page.requests if url not in failures]
    page.complaints = [
        text for text in page.complaints if "Content Security Policy" not in text
    ]


def test_dark_scheme_has_other_colors(visit):
    light, dark = (visit("small", scheme).evaluate(COLORS) for scheme in SCHEMES)
    assert all(one != other for one, other in zip(light, dark, strict=True))


def test_figures_follow_a_change_of_scheme(visit):
    page = visit("small", "light")
    before = page.evaluate(COLORS)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"was => ({COLORS})()[3] !== was", arg=before[3])
    assert page.evaluate(COLORS) == visit("small", "dark").evaluate(COLORS)


def test_elements_do_not_grow_with_the_classes(visit):
    small, large = (visit(name).evaluate(N_NODES) for name in PAGES)
    assert large < 5000
    assert large < small + 300


def test_holds_8142_classes_in_8_megabytes(visit, pages, capsys):
    begin = time.perf_counter()
    visit("large")
    took = time.perf_counter() - begin
    with capsys.disabled():
        sys.stdout.write(f"\n8,142 classes are drawn in {took:.1f} s\n")
    assert pages["large"].stat().st_size < 8_000_000


@pytest.mark.parametrize("name", PAGES)
def test_narrow_screen_scrolls_nothing_sideways(visit, screenshots, name):
    page = visit(name, width=400)
    page.fill("#lookup", HOSTILE[-2])
    page.fill("#donor-filter", HOSTILE[-2])
    page.select_option("#map-class", index=5)
    for details in page.locator("summary").all():
        details.click()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    page.screenshot(path=screenshots / f"{name}-narrow.png", full_page=True)
    assert wide <= 1
