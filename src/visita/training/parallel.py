"""Parallel sentences: a table whose rows say the same in several languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from visita.data.files import read_lines
from visita.data.pictures import printable
from visita.errors import DataError
from visita.progress import say

Sentence = tuple[str, str, str]
"""A language, a text in it, and what it means in the matcher's own language."""


def read_parallel(
    file: str | Path, own: str, *, most: int | None = None, seed: int = 0
) -> list[Sentence]:
    """Return what a table of parallel sentences says, row by row.

    The first line names the languages of the columns by their codes, ``own`` among them, with tabs
    between; a cell may be empty. A row of other cells is left out, and stderr says so. With
    ``most`` that many rows are drawn.

    Raises
    ------
    DataError
        If the file cannot be read, has no column ``own`` or no other, or no row of its cells.
    """
    name = printable(str(file))
    lines = [line for line in read_lines(Path(file)) if line.strip()]
    codes = [code.strip().lower() for code in lines[0].split("\t")] if lines else []
    if own not in codes or len(codes) < 2:
        raise DataError(
            f"{name}: the first line has to name the languages of its columns, with tabs between "
            f"and {own!r} among them, as in: {own}<tab>de<tab>fr"
        )
    split = [line.split("\t") for line in lines[1:]]
    rows = [row for row in split if len(row) == len(codes)]
    if len(rows) < len(split):
        number, row = next((n, r) for n, r in enumerate(split, 2) if len(r) != len(codes))
        say(
            f"{name}: {len(split) - len(rows)} of {len(split)} rows are left out; row {number} has "
            f"{len(row)} cells, and the first line {len(codes)}"
        )
    if most is not None and most < len(rows):
        rows = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))[:most]]
    place = codes.index(own)
    found = [
        (code, text.strip(), row[place].strip())
        for row in rows
        for code, text in zip(codes, row, strict=True)
        if code != own and text.strip() and row[place].strip()
    ]
    if not found:
        raise DataError(f"{name} has no row with a sentence and its {own!r}.")
    return found
