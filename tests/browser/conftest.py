"""Chromium, and pages opened in it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.browser.pages import write_pages

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Return the pages' paths: "small" and "large"."""
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.fail(
            f"These tests need one of {', '.join(CHROMIUM)}; none is on the PATH. "
            "`make test-browser` installs it.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        # Containers rarely grant what Chromium's sandbox needs.
        opened = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, pages):
    """Return a function that opens a page by name, from disk, without a network.

    At the end no page may have complained, or have asked for anything but itself.
    """
    visits = []

    def visited(name, scheme="light", width=1280):
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True
        )
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.complaints, page.requests = [], []
        visits.append((page, pages[name].as_uri()))
        page.on("console", lambda message: heard(page, message))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(pages[name].as_uri())
        # The map is drawn last.
        page.locator("#map-plot .main-svg").first.wait_for()
        return page

    yield visited
    for page, _ in visits:
        page.context.close()
    for page, address in visits:
        assert page.complaints == []
        # Pictures inside the page are no request to anyone.
        assert [url for url in page.requests if url[:5] != "data:"] == [address]


@pytest.fixture(scope="session")
def screenshots():
    """Return the folder that keeps pictures of the pages."""
    default = Path(__file__).parents[2] / "build" / "screenshots"
    folder = Path(os.environ.get("HEADTAIL_SCREENSHOTS", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def heard(page, message):
    if message.type in ("error", "warning"):
        page.complaints.append(message.text)
