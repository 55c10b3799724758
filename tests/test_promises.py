"""Every test that ``docs/promises.md`` names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = re.compile(r"`(?:tests/)?(test_\w+\.py)`")
NAMED = re.compile(FILE.pattern + r": ((?:`\w+`(?:, )?)+)")


def test_each_promise_names_tests_that_exist():
    text = (ROOT / "docs" / "promises.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if "proven by" not in row]
    assert len(promises) > 20
    assert [row for row in promises if not FILE.search(row)] == []
    for name in FILE.findall(text):
        assert (ROOT / "tests" / name).is_file(), name
    for name, words in NAMED.findall(text):
        source = (ROOT / "tests" / name).read_text("utf-8")
        for word in re.findall(r"\w+", words):
            assert re.search(rf"def test_\w*{word}", source), f"{name} has no test {word}"
