"""The rows of a table in any of the file formats that the table reader knows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

from visita.data.readers.textfile import read_lines, read_text
from visita.errors import DataError, MissingExtraError
from visita.types import Skipped


class Rows(NamedTuple):
    """A table's header and the cells of the columns that were asked for."""

    columns: list[str]
    """All columns, as the file names them."""
    rows: list[tuple[str, dict[str, Any]]]
    """Each row's place in the file, and its cells by ``plain`` column name."""
    problems: list[Skipped]


def plain(column: str) -> str:
    """Return a column's name without case or surrounding space."""
    return column.strip().lower()


def read_csv(path: Path, wanted: Collection[str], delimiter: str = ",") -> Rows:
    """Read comma-separated values with a header line."""
    lines = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    rows = []
    try:
        columns = next(lines, [])
        for cells in filter(None, lines):
            row = dict(zip(columns, cells, strict=False))
            rows.append((f"{path.name}:{lines.line_num}", _pick(row, wanted)))
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: {error}; check its quotes.") from error
    return Rows(columns, rows, [])


def read_tsv(path: Path, wanted: Collection[str]) -> Rows:
    """Read tab-separated values with a header line."""
    return read_csv(path, wanted, delimiter="\t")


def read_json_lines(path: Path, wanted: Collection[str]) -> Rows:
    """Read one JSON object a line; other lines are reported."""
    columns: dict[str, None] = {}
    found = Rows([], [], [])
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            columns.update(dict.fromkeys(row))
            found.rows.append((place, _pick(row, wanted)))
        else:
            found.problems.append(Skipped(place, "is not a JSON object"))
    return found._replace(columns=list(columns))


def read_parquet(path: Path, wanted: Collection[str]) -> Rows:
    """Read a Parquet file; columns that were not asked for are not loaded."""
    try:
        import pyarrow  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "parquet") from error
    try:
        with parquet.ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
            table = file.read([column for column in columns if plain(column) in wanted])
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not readable as Parquet: {error}.") from error
    rows = [
        (f"{path.name}: row {number}", _pick(row, wanted))
        for number, row in enumerate(table.to_pylist(), start=1)
    ]
    return Rows(columns, rows, [])


READ_ROWS: dict[str, Callable[[Path, Collection[str]], Rows]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
}


def _pick(row: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    cells = {plain(column): cell for column, cell in row.items()}
    return {name: cell for name, cell in cells.items() if name in wanted}
