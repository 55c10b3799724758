"""Thousands of results in a real browser: few nodes at any time, and the last is reached."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("torch")
from browsing import Page, expect, looking, search, status
from commands import run
from serving import serving

pytestmark = [pytest.mark.slow, pytest.mark.campaign]
MANY = 2_000
"""Pages of results are asked for one by one; 10,000 take five times as long."""
ROWS = 40
"""More are not in the page at once: those in sight, and as many above and below."""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Path:
    """Return pictures of many shapes, no two the same."""
    folder = tmp_path_factory.mktemp("crowd") / "crowd"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(MANY):
        width, height = rng.integers(24, 72, 2).tolist()
        colours = rng.integers(0, 256, (2, 2, 3), np.uint8)
        drawn = Image.fromarray(colours).resize((width, height))
        drawn.save(folder / f"{number:05d}.jpg")
    return folder


@pytest.fixture(scope="module")
def quick(drawn_folder, tmp_path_factory) -> Path:
    """Return a matcher that reads pictures quickly, by their colours."""
    out = tmp_path_factory.mktemp("quick") / "quick"
    words = ["--image-encoder", "colours", "--levels", "whole,centre", "--set", "epochs=1"]
    run("train", "fusion", "--data", f"folder:{drawn_folder}", "--out", str(out), *words)
    return out


@pytest.fixture(scope="module")
def page(crowd, quick, chromium, tmp_path_factory) -> Page:
    """Yield the page over these."""
    home = tmp_path_factory.mktemp("crowd-home")
    with serving(crowd, "--gallery", home, "--matcher", quick) as service:
        service.wait_until_ready()
        with looking(chromium, service) as tab:
            yield tab


def scrolled_to_the_end(page: Page) -> list[tuple[int, int]]:
    """Scroll down until there is no more; return how many rows and pictures were in the page."""
    counts = []
    while True:
        counts.append((page.locator(".grid .row").count(), page.locator(".grid img").count()))
        if page.locator(f"[data-index='{MANY - 1}']").count():
            return counts
        height = page.evaluate("document.body.scrollHeight")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function(
            "([height, last]) => document.body.scrollHeight > height"
            " || document.querySelector(`[data-index='${last}']`)",
            arg=[height, MANY - 1],
        )


def test_the_end_of_thousands_is_reached_with_few_of_them_in_the_page(page):
    page.goto("/")
    search(page, "a red circle")
    counts = scrolled_to_the_end(page)
    assert len(counts) > 10
    assert max(rows for rows, _ in counts) <= ROWS
    assert max(pictures for _, pictures in counts) <= 10 * ROWS
    assert page.evaluate("document.querySelectorAll('*').length") < 20 * ROWS * 10
    last = page.locator(f"[data-index='{MANY - 1}']")
    expect(last).to_be_in_viewport()
    seen = "last => document.querySelector(`[data-index='${last}'] img`)?.naturalWidth > 0"
    page.wait_for_function(seen, arg=MANY - 1)
    expect(status(page)).to_contain_text(re.compile(f"of {MANY:,}|{MANY:,} pictures"))
