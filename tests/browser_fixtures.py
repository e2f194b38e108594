"""Fixtures of tests in headless Chromium; these tests are skipped without Playwright or Chromium."""

import contextlib
import importlib.util
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (  # the microphone is always allowed and plays a test tone
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    if importlib.util.find_spec("playwright") is None or CHROMIUM is None:
        pytest.skip("needs Playwright (pip install playwright) and Chromium (apt install chromium)")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """A function that opens a page; the test fails if the page reports an error or asks another host for anything."""
    with contextlib.ExitStack() as stack:
        problems = []

        def open_url(url, *, width=1280, colours="light"):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
            stack.callback(context.close)
            page = context.new_page()
            page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on(
                "request",
                lambda r: problems.append(r.url) if not r.url.startswith(("data:", "blob:", url.rstrip("/"))) else None,
            )
            page.goto(url)
            return page

        yield open_url
        assert problems == []


def serious_violations(page):
    """Serious faults that axe-core finds on a page."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in violations if v["impact"] in SERIOUS]


def decoded_durations(page):
    """Duration in seconds of every player of a page; 0 for one that cannot be decoded."""
    return page.evaluate(
        """() => Promise.all([...document.querySelectorAll("audio")].map((audio) => new Promise((resolve) => {
            audio.addEventListener("loadedmetadata", () => resolve(audio.duration));
            audio.addEventListener("error", () => resolve(0));
            audio.load();
        })))"""
    )
