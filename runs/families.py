"""Whether everything that visita adds works on every family of pretrained models.

python runs/families.py --out docs/results/families.md

A tiny checkpoint of each family, with random weights, goes through fusion on its levels, both
stages of MKL-VisITA, learning on top of it, fusing, local scaling, explaining, its head, and
what is said of languages. It needs  pip install 'visita[open-clip]'.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from drawn import draw_pairs
from every_family import HEADS, NO_SQUARE, TRIALS, WRITERS, matcher_of, told_languages

PICTURES = 40
FAILED = "fails"


def main() -> None:
    """Write a Markdown table; exit status 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", nargs="*", default=list(WRITERS))
    options = parser.parse_args()
    lines = [HEAD]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["VISITA_HOME"] = str(Path(scratch, "home"))
        draw_pairs(Path(scratch, "few"), n=PICTURES)
        for row in options.rows:
            lines.append(line(row, Path(scratch)))
            print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", "utf-8")
    sys.exit(any(FAILED in one for one in lines))


def line(row: str, scratch: Path) -> str:
    """Return a row of the table."""
    folder = scratch / row.replace(" ", "-")
    name = matcher_of(row, folder)
    cells = [
        _tried(partial(trial, name, scratch / "few", folder / said.strip("`")))
        if said != "head" or row in HEADS
        else "has none"
        for said, trial in TRIALS.items()
    ]
    return f"| {row} | {' | '.join([*cells, _tried(partial(told_languages, name, row))])} |"


def _tried(call: Callable[[], object]) -> str:
    """Return how a trial ended, in a word or two."""
    noise = StringIO()
    try:
        with redirect_stderr(noise):
            call()
    except Exception as error:
        if re.search(NO_SQUARE, str(error)):
            return "refused"
        print(f"{type(error).__name__}: {error}", noise.getvalue()[-2000:], file=sys.stderr)
        return FAILED
    return "works"


HEAD = f"""# What visita adds, on every family of pretrained models

Written by `runs/families.py`: a tiny checkpoint of each family, with random weights, and {PICTURES}
drawn pictures with captions. *Works* means that it runs from files to the saved matcher, which
opens again bit for bit and keeps the contract; *refused*, that one line says why. Pictures of
NaFlex keep their shape, so there is no square of cells for the second stage of MKL-VisITA to look
at. Only families of two stages have a *head*.

| | {" | ".join(TRIALS)} | languages |
|---|{"---|" * (len(TRIALS) + 1)}"""

if __name__ == "__main__":
    main()
