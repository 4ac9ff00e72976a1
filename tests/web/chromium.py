"""Debian's Chromium, driven by Playwright, and a review room that it can reach."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

from bridge.web.application import review_application
from bridge.web.room import ReviewRoom
from bridge.web.server import Listening, ReviewServer
from tests.programs import require_program
from tests.web.browser import PASSWORD

__all__ = ["LAPTOP", "chromium", "log_in", "open_viewer", "page_of", "served"]

LAPTOP = (1366, 768)
"""The smallest screen that the viewer is made for."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium without a GPU, as on a remote desktop."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=require_program("chromium"),
            # who runs tests as root in a container has no sandbox; /dev/shm is small there
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def page_of(browser: Browser, colours: str = "light") -> Iterator[Page]:
    """Give a page with cookies of its own; whatever it complains of fails the test."""
    width, height = LAPTOP
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if colours == "dark" else "light",
    )
    page, complaints = context.new_page(), list[str]()
    page.set_default_timeout(120_000)  # a computer that is busy with other tests is slow, and not broken
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    yield page
    context.close()
    expected = ("409 (Conflict)", "willReadFrequently")  # an overtaken move is answered 409; tests read many pixels
    assert [text for text in complaints if not any(known in text for known in expected)] == []


@contextlib.contextmanager
def served(room: ReviewRoom) -> Iterator[str]:
    """Serve a room where its origin says, and give its address."""
    port = int(room.origin.rpartition(":")[2])
    with ReviewServer(review_application(room), Listening("127.0.0.1", port), lambda: None):
        yield room.origin


def log_in(page: Page, origin: str, name: str, password: str = PASSWORD) -> None:
    """Log in by the form."""
    page.goto(f"{origin}/login")
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("text=Log in")
    page.wait_for_url(f"{origin}/")


def open_viewer(page: Page, origin: str, case_id: str, seconds: float = 60) -> None:
    """Open a case and wait until the viewer has everything."""
    page.goto(f"{origin}/cases/{case_id}")
    page.wait_for_selector("#viewer[data-loaded=true]", timeout=seconds * 1000)
    # as a person does who begins: the case's pictures fill the screen
    page.evaluate("document.getElementById('viewer').scrollIntoView({block: 'start'}); scrollBy(0, -40)")
