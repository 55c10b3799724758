"""Tables as text: cells parted by commas, semicolons, tabs or bars, the first line a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from visita.data.pictures import printable
from visita.data.readers.columns import Choose
from visita.data.readers.textfile import read_text
from visita.errors import DataError
from visita.progress import say
from visita.types import Skipped

DELIMITERS = ",;\t|"
SHOWN = 10


def read_delimited(
    path: Path, choose: Choose, problems: list[Skipped]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows; what parts their cells is what makes sense of the header.

    A text in the last column that holds the delimiter without quotes is kept whole, and
    stderr says so. Where it is unclear what such a row means, it is left out.
    """
    text = read_text(path)
    delimiter, columns, chosen = _header(path, text, choose)
    places = {role: columns.index(column) for role, column in chosen.items()}
    last = len(columns) - 1
    mended: list[str] = []
    for number, cells in islice(_cells(path, text, delimiter), 1, None):
        place, whole = f"{path.name}:{number}", cells
        if any(cell.strip() for cell in cells[len(columns) :]):
            if places.get("text") != last:
                problems.append(Skipped(place, _surplus(cells, columns)))
                continue
            whole = [*cells[:last], delimiter.join(cells[last:])]
            mended.append(place)
        yield place, {role: whole[at] if at < len(whole) else None for role, at in places.items()}
    reason = f"has a {delimiter!r} in its text without quotes around it; the text is kept whole"
    for place in mended[:SHOWN]:
        say(f"warning: {printable(place)} {reason}")
    if len(mended) > SHOWN:
        say(f"warning: {len(mended) - SHOWN:,} more rows of {printable(path.name)} are like these")
    problems += [Skipped(place, reason) for place in mended]


def _header(path: Path, text: str, choose: Choose) -> tuple[str, list[str], Mapping[str, str]]:
    """Return the delimiter, all columns, and those that are read, by their role."""
    faults: dict[int, DataError] = {}
    for delimiter in DELIMITERS:
        _, cells = next(_cells(path, text, delimiter), (0, []))
        while cells and not cells[-1].strip():
            cells.pop()  # as spreadsheets leave them
        try:
            return delimiter, cells, choose(cells)
        except DataError as error:
            faults.setdefault(len(cells), error)
    raise faults[max(faults)]


def _cells(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row that is not blank."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in filter(None, lines):
            yield lines.line_num, cells
    except csv.Error as error:
        name = printable(str(path))
        raise DataError(f"{name}, line {lines.line_num}: {error}; check its quotes.") from error


def _surplus(cells: list[str], columns: list[str]) -> str:
    return (
        f"has {len(cells)} cells for {len(columns)} columns, and which belong together is unclear; "
        f"put quotes around a text that holds what parts the cells"
    )
