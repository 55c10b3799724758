"""A real browser that looks at a real service: Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import Service

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
Context, Locator, Page = sync_api.BrowserContext, sync_api.Locator, sync_api.Page
expect = sync_api.expect

expect.set_options(timeout=30_000)  # ms; machines may be busy
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
LAPTOP = {"width": 1280, "height": 800}


@contextmanager
def browser(home: Path) -> Iterator[sync_api.Browser]:
    """Run Chromium, with a home of its own."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: no chromium is installed")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = ["--no-sandbox"] if root else []
    with sync_api.sync_playwright() as playwright:
        environment = {**os.environ, "HOME": str(home)}
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, env=environment)
        yield running
        running.close()


@contextmanager
def looking(
    running: sync_api.Browser, service: Service, *, expected: str = "nothing", **options: object
) -> Iterator[Page]:
    """Yield an empty tab for a service's page, in which nothing may go wrong unseen.

    ``expected`` is a part of what the browser's console may tell.
    """
    address = f"http://{service.host}:{service.port}/"
    context = running.new_context(
        base_url=address, **{"viewport": LAPTOP, "locale": "en-GB"} | options
    )
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on(
        "request", lambda asked: wrong.append(asked.url) if leaves(asked.url, address) else None
    )
    yield page
    _keep(page)
    context.close()
    assert [each for each in wrong if expected not in each] == []


def _keep(page: Page) -> None:
    """Keep what the tab shows at the end of a test, where a folder for that is named."""
    if folder := os.environ.get("VISITA_SCREENSHOTS"):
        name = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].split(" ")[0]
        page.screenshot(path=Path(folder, f"{name}.png"))


def leaves(url: str, address: str) -> bool:
    """Tell whether a request goes to another host."""
    return not url.startswith((address, "blob:", "data:"))


def status(page: Page) -> Locator:
    """Return what says how many pictures are shown."""
    return page.locator(".toolbar .status")


def box(page: Page) -> Locator:
    """Return the field that is typed into."""
    return page.get_by_label("Search for pictures")


def cells(page: Page) -> Locator:
    """Return the pictures in the grid that are in the page now."""
    return page.get_by_role("gridcell").and_(page.locator("[data-index]"))


def search(page: Page, text: str) -> None:
    """Search for a text, and see results."""
    box(page).fill(text)
    expect(page.locator(".cell .bar").first).to_be_visible()
