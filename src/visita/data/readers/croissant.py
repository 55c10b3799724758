"""Croissant, MLCommons' JSON-LD format for data sets: pairs from a local table.

mlcroissant parses and checks the description. The table is then read as tables are here:
mlcroissant's own way downloads what is missing, unpacks archives and takes minutes for
COCO; and a CSV's caption "None" would be lost.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path, PurePath
from typing import Any

from visita.data.croissant import PARQUET, import_mlcroissant, quietly
from visita.data.pairs import PairSet
from visita.data.readers.records import Records
from visita.data.readers.rows import READ_ROWS, Rows, plain
from visita.data.readers.table import (
    IMAGE_COLUMNS,
    LANGUAGE_COLUMN,
    SPLIT_COLUMN,
    SPLITS,
    TEXT_COLUMNS,
)
from visita.data.readers.textfile import read_text
from visita.errors import DataError
from visita.types import Skipped

SUFFIXES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/jsonlines": ".jsonl",
    PARQUET: ".parquet",
}
NAMES = {
    "image": IMAGE_COLUMNS,
    "text": TEXT_COLUMNS,
    "split": (SPLIT_COLUMN,),
    "language": (LANGUAGE_COLUMN,),
    "image_id": ("image_id",),
    "text_id": ("text_id",),
}
"""What the fields may be called; the first two must be there."""


class Croissant:
    """Reads one record set with fields for image (a path) and text, and perhaps split and language.

    Rows with one ``image_id`` are one image, and rows with one ``text_id`` are one text;
    without these fields, an image is its path and a text its words, within one split.
    Nothing is ever downloaded or unpacked.
    """

    looks_for = (
        f"a JSON file in the Croissant format, with a record set whose fields are called "
        f"{' or '.join(IMAGE_COLUMNS)} and {' or '.join(TEXT_COLUMNS)}"
    )

    def recognises(self, path: Path) -> bool:
        if not path.is_file() or path.suffix.lower() != ".json":
            return False
        with path.open("rb") as file:
            return b'"@context"' in file.read(1000)

    def read(self, path: Path, seed: int) -> PairSet:
        columns, table = _table(path, _description(path))
        records = Records(path.parent, numbered="text_id" in columns)
        unknown: Counter[str] = Counter()
        for place, cells in table.rows:
            row = {role: cells.get(column) for role, column in columns.items()}
            split = SPLITS.get(plain(str(row.get("split"))))
            language = plain(str(row.get("language") or ""))
            if "split" in columns and split is None:
                unknown[str(row["split"])] += 1
            else:
                records.add(place, {**row, "split": split, "language": language})
        problems = [
            Skipped(f"{count} rows", f"have split {value!r}, not train, dev or test")
            for value, count in unknown.items()
        ]
        return records.pairs(f"croissant:{path}", [*table.problems, *problems], seed)


def _description(path: Path) -> Any:
    """Return mlcroissant's metadata of the file."""
    mlcroissant = import_mlcroissant()
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not Croissant: it should be {Croissant.looks_for}.")
    _refuse_fetching(path, content)
    try:
        with quietly():
            return mlcroissant.Dataset(content).metadata
    except Exception as error:  # odd files make mlcroissant raise nearly anything
        raise DataError(f"{path} is not valid Croissant: {_faults(error)}.") from error


def _faults(error: Exception) -> str:
    """Return what mlcroissant says, without its headings and what it only recommends."""
    lines = [line.strip(" -.") for line in str(error).splitlines()]
    faults = [one for one in lines if not one.startswith("Found the") and "recommended" not in one]
    return f"{type(error).__name__}: {'; '.join(filter(None, faults))}"


def _refuse_fetching(path: Path, content: dict[str, Any]) -> None:
    """Refuse a context that would be fetched while parsing, wherever it is."""
    nodes: list[Any] = [content]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            if "@import" in node or not isinstance(node.get("@context", {}), dict):
                raise DataError(
                    f"{path} names a context to be fetched, and visita reads local files only: "
                    f"write the @context itself into the file."
                )


def _table(path: Path, metadata: Any) -> tuple[dict[str, str], Rows]:
    """Return the column of each field by its role, and the table."""
    fields = _fields(path, metadata)
    for field in fields.values():
        source = field.source
        if not source.file_object or not source.extract.column or source.transforms:
            raise DataError(
                f"{path}: its field {field.id} is not plainly a column of a table, which is all "
                f"that visita reads."
            )
    tables = {field.source.file_object for field in fields.values()}
    table = next((one for one in metadata.file_objects if {one.id} == tables), None)
    if table is None:
        raise DataError(f"{path}: the fields {', '.join(fields)} are not of one table.")
    columns = {role: plain(field.source.extract.column) for role, field in fields.items()}
    rows = _read_table(path, table, set(columns.values()))
    missing = set(columns.values()) - set(map(plain, rows.columns))
    if missing:
        raise DataError(f"{path}: its table {table.content_url} has no column {min(missing)!r}.")
    return columns, rows


def _fields(path: Path, metadata: Any) -> dict[str, Any]:
    """Return the fields by their role, from the first record set that has image and text."""
    listed = []
    for record_set in metadata.record_sets:
        named = {plain(field.id.rpartition("/")[2]): field for field in record_set.fields}
        roles = {
            role: next((named[name] for name in names if name in named), None)
            for role, names in NAMES.items()
        }
        if roles["image"] and roles["text"]:
            return {role: field for role, field in roles.items() if field}
        listed.append(f"{record_set.id} ({', '.join(named)})")
    raise DataError(
        f"{path} has no record set with a field named {' or '.join(IMAGE_COLUMNS)} and one named "
        f"{' or '.join(TEXT_COLUMNS)}; its record sets: {', '.join(listed) or 'none'}."
    )


def _read_table(path: Path, table: Any, wanted: set[str]) -> Rows:
    name = str(table.content_url)
    if "://" in name:
        raise DataError(
            f"{path}: its table is at {name}, and visita reads local files only: download it, and "
            f"put its path from {path.name} in place of the address."
        )
    if table.contained_in:
        raise DataError(f"{path}: its table {name} is in an archive; unpack it, and name the file.")
    if PurePath(name).anchor or ".." in PurePath(name).parts:
        raise DataError(f"{path}: its table {name} lies outside its folder, which is not allowed.")
    suffix = next((SUFFIXES[one] for one in table.encoding_formats or () if one in SUFFIXES), None)
    if suffix is None:
        raise DataError(f"{path}: its table {name} should be one of {', '.join(SUFFIXES)}.")
    file = path.parent / name
    if not file.is_file():
        raise DataError(f"{path}: its table {name} is missing.")
    for algorithm in ("sha256", "md5"):
        expected = getattr(table, algorithm)
        if expected and _digest(file, algorithm) != expected.lower():
            raise DataError(
                f"{file} has changed since {path.name} was written, as its {algorithm} tells; "
                f"copy both again."
            )
    return READ_ROWS[suffix](file, wanted)


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()
