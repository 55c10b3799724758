"""What the scripts that measure matchers on dev share: their options, and the page they write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from visita.data import PairSet, open_pairs


def write_page(
    about: str | None,
    head: Iterable[str],
    rows: Callable[[str, PairSet], Iterable[str]],
    matchers: Sequence[str],
) -> None:
    """Measure each matcher that is named, or ``matchers``, and write the page of all rows."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("matchers", nargs="*", default=matchers)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    dev = open_pairs(options.data).take("dev")
    page = "\n".join([*head, *(line for name in options.matchers for line in rows(name, dev)), ""])
    print(page)
    if options.out:
        options.out.write_text(page, encoding="utf-8")
