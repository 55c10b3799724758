"""The rows of a table in any of the file formats that the table reader knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from visita.data.pictures import printable
from visita.data.readers.columns import Choose, plain
from visita.data.readers.delimited import read_delimited
from visita.data.readers.parquet import read_parquet
from visita.data.readers.textfile import read_json, read_lines
from visita.errors import DataError
from visita.types import Skipped

TOLD = 1000
"""Things that are no rows and are named, each; millions would fill the memory."""
Row = tuple[str, dict[str, Any]]
"""A row's place in its file, and its cells by their role."""
ReadRows = Callable[[Path, Choose, list[Skipped]], Iterator[Row]]
"""Reads the columns that are chosen, row by row; what is no row is added to the problems."""


def read_json_lines(path: Path, choose: Choose, problems: list[Skipped]) -> Iterator[Row]:
    """Yield one JSON object a line; other lines are reported."""
    lines = enumerate(read_lines(path), start=1)
    found = ((f"{path.name}:{number}", _loaded(line)) for number, line in lines if line.strip())
    return _objects(found, choose, problems)


def read_json_list(path: Path, choose: Choose, problems: list[Skipped]) -> Iterator[Row]:
    """Yield the objects of a JSON file that is a list, as those of BLIP, LAVIS and LLaVA are."""
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"{printable(str(path))} is not a list of objects, one for each picture.")
    found = ((f"{path.name}[{number}]", one) for number, one in enumerate(content))
    return _objects(found, choose, problems)


READ_ROWS: Mapping[str, ReadRows] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_list,
    ".parquet": read_parquet,
}


def _loaded(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _objects(
    found: Iterator[tuple[str, Any]], choose: Choose, problems: list[Skipped]
) -> Iterator[Row]:
    objects: list[tuple[str, dict[str, Any]]] = []
    others = 0
    for place, one in found:
        if isinstance(one, dict):
            objects.append((place, one))
            continue
        others += 1
        if others <= TOLD:
            problems.append(Skipped(place, "is not a JSON object"))
    if others > TOLD:
        problems.append(Skipped(f"{others - TOLD:,} more", "are not JSON objects either"))
    columns = dict.fromkeys(column for _, one in objects for column in one)
    chosen = {role: plain(column) for role, column in choose(list(columns)).items()}
    for place, one in objects:
        cells = {plain(column): cell for column, cell in one.items()}
        yield place, {role: cells.get(column) for role, column in chosen.items()}
