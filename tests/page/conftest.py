"""A headless Chromium, and what its visits complain about."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.page.control import DIST, Control

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no chromium and no google-chrome on PATH: install one")
    if not (DIST / "index.html").exists():
        pytest.skip("console/dist is missing: run `npm ci && npm run build` there")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield opened
        opened.close()


@pytest.fixture
def control() -> Iterator[Control]:
    served = Control()
    served.start()
    yield served
    served.stop()


class Visit:
    """Opens pages and remembers what they asked for and complained about."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser, self._url = browser, url
        self.foreign: list[str] = []
        self.complaints: list[str] = []

    def __call__(self, *, wait: str = "tbody tr", **context: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}} | context
        page = self._browser.new_context(**options).new_page()
        page.set_default_timeout(8000)
        page.on("request", lambda request: self._request(request.url))
        page.on("websocket", lambda socket: self._request(socket.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._console(message.type, message.text))
        page.goto(self._url)
        page.wait_for_selector(wait)
        return page

    def _request(self, url: str) -> None:
        own = (self._url, self._url.replace("http", "ws", 1), "data:")
        if not url.startswith(own):
            self.foreign.append(url)

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


def _visits(browser: Browser, url: str) -> Iterator[Visit]:
    made = Visit(browser, url)
    yield made
    for context in browser.contexts:
        context.close()
    assert made.foreign == []
    assert made.complaints == []


@pytest.fixture
def visit(browser: Browser, control: Control) -> Iterator[Visit]:
    """Every test ends with: no request elsewhere, nothing on the console."""
    yield from _visits(browser, control.url)


@pytest.fixture
def live(browser: Browser) -> Iterator[Visit]:
    url = os.environ.get("MERIDIAN_PAGE_URL")
    if not url:
        pytest.skip("MERIDIAN_PAGE_URL is not set: no live page to look at")
    yield from _visits(browser, url.rstrip("/"))
