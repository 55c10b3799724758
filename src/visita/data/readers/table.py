"""A table with a column of pictures, one of texts and perhaps of splits and languages."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from visita.data.files import LIST, json_kind, read_json, read_lines, read_text
from visita.data.pairs import SPLITS as SIDES
from visita.data.pairs import PairSet
from visita.data.pictures import printable
from visita.data.readers.assemble import Gathered, assemble
from visita.data.readers.bounds import Bounds, inner_folders
from visita.data.readers.columns import IMAGE, SPLITS, TEXT, Choose, choose_roles, plain
from visita.data.readers.parquet import read_parquet
from visita.errors import DataError
from visita.progress import say
from visita.types import Skipped

DELIMITERS = ",;\t|"
SHOWN = 10
LONGEST_CELL = 2**17
"""Characters."""


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
        place, row = f"{path.name}:{number}", cells
        if any(cell.strip() for cell in cells[len(columns) :]):
            if places.get("text") != last:
                problems.append(Skipped(place, _surplus(cells, columns)))
                continue
            row = [*cells[:last], delimiter.join(cells[last:])]
            mended.append(place)
        yield place, {role: row[at] if at < len(row) else None for role, at in places.items()}
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
    csv.field_size_limit(LONGEST_CELL)  # of the process: a library may have lifted it
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


TOLD = 1000
"""Things that are no rows and are named, each; millions would fill the memory."""
Row = tuple[str, dict[str, Any]]
"""A row's place in its file, and its cells by their role."""
ReadRows = Callable[[Path, Choose, list[Skipped]], Iterator[Row]]
"""Reads the columns that are chosen, row by row; what is no row is added to the problems."""


def read_json_lines(path: Path, choose: Choose, problems: list[Skipped]) -> Iterator[Row]:
    """Yield one JSON object a line; other lines are reported."""
    lines = enumerate(read_lines(path), start=1)
    items = ((f"{path.name}:{number}", loaded(line)) for number, line in lines if line.strip())
    return _objects(items, choose, problems)


def read_json_list(path: Path, choose: Choose, problems: list[Skipped]) -> Iterator[Row]:
    """Yield the objects of a JSON file that is a list, as those of BLIP, LAVIS and LLaVA are."""
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"{printable(str(path))} is not a list of objects, one for each picture.")
    items = ((f"{path.name}[{number}]", item) for number, item in enumerate(content))
    return _objects(items, choose, problems)


READ_ROWS: Mapping[str, ReadRows] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_list,
    ".parquet": read_parquet,
}


def loaded(line: str | bytes) -> Any:
    """Return what JSON says, None where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _objects(
    items: Iterator[tuple[str, Any]], choose: Choose, problems: list[Skipped]
) -> Iterator[Row]:
    objects: list[tuple[str, dict[str, Any]]] = []
    others = 0
    for place, item in items:
        if isinstance(item, dict):
            objects.append((place, item))
            continue
        others += 1
        if others <= TOLD:
            problems.append(Skipped(place, "is not a JSON object"))
    if others > TOLD:
        problems.append(Skipped(f"{others - TOLD:,} more", "are not JSON objects either"))
    columns = dict.fromkeys(column for _, record in objects for column in record)
    chosen = {role: plain(column) for role, column in choose(list(columns)).items()}
    for place, record in objects:
        cells = {plain(column): cell for column, cell in record.items()}
        yield place, {role: cells.get(column) for role, column in chosen.items()}


METADATA = tuple(f"metadata{suffix}" for suffix in (".csv", ".jsonl", ".parquet"))
PICTURE_FOLDERS = (
    *("images", "Images", "imgs", "pictures", "flickr30k-images", "flickr30k_images"),
    "flickr30k_images/flickr30k_images",
)


class Table:
    """Reads CSV, TSV, JSON lines, JSON lists and Parquet, or a folder with one for each split.

    Pictures lie in the rows themselves, or in files: named from the table's folder, or from
    ``images`` in it. The language of a text, if any, is a code such as ``de``.
    """

    looks_for = (
        f"a file ending in {', '.join(READ_ROWS)} with a column named {' or '.join(IMAGE)} "
        f"and one named {' or '.join(TEXT)}; or a folder with {' or '.join(METADATA)}, or with "
        f"such files for train, validation or test"
    )

    def recognises(self, path: Path) -> bool:
        return _is_table(path) if path.is_file() else bool(_tables_in(path))

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        tables = {path: None} if path.is_file() else _tables_in(path)
        if not tables or not all(table.suffix.lower() in READ_ROWS for table in tables):
            raise DataError(f"{path} is not a table: it should be {self.looks_for}.")
        folder = path.parent if path.is_file() else path
        bounds = Bounds(_above_annotations(folder), roots)
        gathered = Gathered(bounds)
        for file, split in tables.items():
            if file != path:
                bounds.check(file)
            read = READ_ROWS[file.suffix.lower()]
            rows = read(file, choose_roles(str(file)), gathered.problems)
            gathered.add(rows, list(_picture_folders(file.parent)), split)
        problems = gathered.all_problems()
        return assemble(f"table:{path}", gathered.captions, problems, seed, bounds)


def split_named(name: str) -> str | None:
    """Return the split that a file's or folder's name tells, such as ``train-00000.parquet``."""
    words = re.split(r"[^a-z]+", Path(name).stem.lower())
    splits = {SPLITS[word] for word in words if word in SPLITS}
    return splits.pop() if len(splits) == 1 else None


def _is_table(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in READ_ROWS and (suffix != ".json" or json_kind(path) == LIST)


def _tables_in(folder: Path) -> dict[Path, str | None]:
    """Return the tables of a folder with the split of each, None for one table of all."""
    if metadata := _metadata(folder):
        return {metadata: None}
    inner = [(subfolder, _metadata(subfolder)) for subfolder in inner_folders(folder)]
    tables = [(split_named(subfolder.name), file) for subfolder, file in inner if file]
    for place in (folder, folder / "data", folder / "annotations"):
        files = (entry for entry in _entries(place) if entry.is_file() and split_named(entry.name))
        tables += [(split_named(file.name), file) for file in files if _is_table(file)]
    return {file: split for side in SIDES for split, file in tables if split == side}


def _metadata(folder: Path) -> Path | None:
    return next((folder / name for name in METADATA if (folder / name).is_file()), None)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _picture_folders(folder: Path) -> Iterator[Path]:
    """Yield where the pictures of a table in ``folder`` may lie."""
    for place in dict.fromkeys((folder, _above_annotations(folder))):
        yield place
        yield from (place / name for name in PICTURE_FOLDERS if (place / name).is_dir())


def _above_annotations(folder: Path) -> Path:
    """Return the data set's folder: COCO and LAVIS keep tables in one beside the pictures."""
    return folder.absolute().parent if folder.name == "annotations" else folder
