"""The local files that a Croissant description names, and the rows that its fields take there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

from visita.data.croissant import PARQUET
from visita.data.files import read_json
from visita.data.readers.bounds import Bounds
from visita.data.readers.columns import plain
from visita.data.readers.table import READ_ROWS
from visita.errors import DataError, MissingExtraError
from visita.types import Skipped

SUFFIXES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/jsonlines": ".jsonl",
    "application/json": ".json",
    PARQUET: ".parquet",
}
BYTES = "bytes"
"""A transform of Hugging Face's: the bytes of a picture that is kept with its path."""
_LIST = re.compile(r"\$(?:\.(\w+))?\[\*\]\.(\w+)")
"""The one kind of JSON path that is read: a field of the objects in a list."""
MOST_FILES = 2_000_000
PATIENCE = 1.0
"""Seconds that a pattern from a stranger may take on one name."""

Row = tuple[str, dict[str, Any]]


class Distribution:
    """Files below the folder of a description; nothing is fetched, and no archive opened."""

    def __init__(self, path: Path, metadata: Any, bounds: Bounds, problems: list[Skipped]) -> None:
        self._path = path
        self._nodes = {node.id: node for node in (*metadata.file_objects, *metadata.file_sets)}
        self._bounds = bounds
        self._problems = problems

    def rows(self, fields: Mapping[str, Any]) -> Iterator[Row]:
        """Yield each row's place and the values of ``fields``, which must be of one source.

        Raises
        ------
        DataError
            If they are not, or their files are missing, changed or of no kind that is read.
        """
        sources = {field.source.uuid for field in fields.values()}
        node = self._nodes.get(*sources) if len(sources) == 1 else None
        if node is None:
            names = ", ".join(str(field.id) for field in fields.values())
            raise DataError(f"{self._path}: the fields {names} are not of one table.")
        for field in fields.values():
            self._refuse_odd(field)
        suffix = next((SUFFIXES[k] for k in node.encoding_formats or () if k in SUFFIXES), "")
        pictures = any(str(kind).startswith("image/") for kind in node.encoding_formats or ())
        if not suffix and not pictures:
            raise DataError(
                f"{self._path}: its table {node.id} should be one of {', '.join(SUFFIXES)}."
            )
        for file in self._files(node):
            of_file = {
                role: field for role, field in fields.items() if field.source.extract.file_property
            }
            taken = {role: field for role, field in fields.items() if role not in of_file}
            facts = {role: self._fact(file, field) for role, field in of_file.items()}
            rows = self._read(file, suffix, taken) if taken else [(file.name, {})]
            yield from ((place, {**row, **facts}) for place, row in rows)

    def only_file(self, field: Any) -> Path | None:
        """Return the file of a field that has just one, if it is at hand."""
        node = self._nodes.get(field.source.file_object)
        try:
            return next(iter(self._files(node)), None) if node else None
        except DataError:
            return None

    def _refuse_odd(self, field: Any) -> None:
        source = field.source
        kinds = [transform.json_path or transform.regex for transform in source.transforms]
        extracts = source.extract.column or source.extract.file_property or source.extract.json_path
        json_path = source.extract.json_path
        readable = all(kinds) and extracts and (not json_path or _LIST.fullmatch(json_path))
        if not readable or any(
            transform.json_path not in (None, BYTES) for transform in source.transforms
        ):
            raise DataError(
                f"{self._path}: its field {field.id} is not plainly a column of a table, which is "
                f"all that visita reads."
            )

    def _read(self, file: Path, suffix: str, fields: Mapping[str, Any]) -> Iterator[Row]:
        if any(field.source.extract.json_path for field in fields.values()):
            rows = _from_json(file, fields)
        else:
            rows = READ_ROWS[suffix](file, self._chooser(file, fields), self._problems)
        patterns = {role: _pattern(field) for role, field in fields.items()}
        for place, row in rows:
            yield place, {role: _match(patterns[role], value) for role, value in row.items()}

    def _chooser(self, file: Path, fields: Mapping[str, Any]) -> Any:
        def choose(columns: list[str]) -> dict[str, str]:
            by_name = {plain(column): column for column in reversed(columns)}
            wanted = {role: plain(field.source.extract.column) for role, field in fields.items()}
            missing = set(wanted.values()) - set(by_name)
            if missing:
                raise DataError(
                    f"{self._path}: its table {file.name} has no column {min(missing)!r}."
                )
            return {role: by_name[column] for role, column in wanted.items()}

        return choose

    def _fact(self, file: Path, field: Any) -> Any:
        """Return what a field takes from the file itself: its name, path or content."""
        kind = field.source.extract.file_property.name
        if kind == "content":
            return file
        inner = file.relative_to(self._path.parent).as_posix()
        value = file.name if kind == "filename" else inner
        return _match(_pattern(field), value)

    def _files(self, node: Any) -> list[Path]:
        """Return the local files of a file object or file set.

        Raises
        ------
        DataError
            If there are none, or one has changed.
        """
        return self._set(node) if hasattr(node, "includes") else [self._object(node)]

    def _object(self, node: Any) -> Path:
        name, path = str(node.content_url), self._path
        if node.contained_in and "://" not in name and not (path.parent / name).is_file():
            raise DataError(
                f"{path}: its table {name} is in an archive; unpack it to {path.parent}."
            )
        file = path.parent / (name.rpartition("/")[2] if "://" in name else name)
        if "://" in name and not file.is_file():
            raise DataError(
                f"{path}: its table is at {name}, and visita reads local files only: download it "
                f"to {file}."
            )
        if fault := self._bounds.fault(file, "file"):
            raise DataError(f"{path}: its table {name}: {fault}.")
        for algorithm in ("sha256", "md5"):
            expected = getattr(node, algorithm)
            if expected and "://" not in expected and _digest(file, algorithm) != expected.lower():
                raise DataError(
                    f"{file} has changed since {path.name} was written, as its {algorithm} tells; "
                    f"copy both again."
                )
        return file

    def _set(self, node: Any) -> list[Path]:
        patterns = [str(pattern) for pattern in node.includes or ()]
        files: list[Path] = []
        for folder in self._places(node):
            for number, file in enumerate(folder.rglob("*")):
                if number > MOST_FILES:
                    raise DataError(f"{folder} holds more than {MOST_FILES:,} files.")
                inner = file.relative_to(folder).as_posix()
                if any(fnmatch(inner, pattern) for pattern in patterns) and file.is_file():
                    files.append(self._bounds.check(file))
            if files:
                return sorted(files)
        fetched = " and ".join(patterns) or "nothing"
        raise DataError(
            f"{self._path}: of its files {node.id} ({fetched}) none is here, and visita reads "
            f"local files only: fetch or unpack them to {self._path.parent}."
        )

    def _places(self, node: Any) -> Iterator[Path]:
        """Yield where the files of a set may be: what an archive or a repository holds."""
        here = self._path.parent
        for container in node.contained_in or ():
            url = str(getattr(self._nodes.get(str(container)), "content_url", "") or "")
            if url and "://" not in url and not PurePath(url).anchor and ".." not in url:
                archive = here / url
                yield from (p for p in (archive.with_suffix(""), archive.parent) if p.is_dir())
        yield here


def _from_json(file: Path, fields: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the objects of a list in a JSON file."""
    paths = {
        role: _LIST.fullmatch(field.source.extract.json_path) for role, field in fields.items()
    }
    lists = {match[1] for match in paths.values() if match}
    content: Any = read_json(file)
    if len(lists) == 1 and None not in lists and isinstance(content, dict):
        content = content.get(*lists)
    if len(lists) != 1 or not isinstance(content, list):
        raise DataError(f"{file} has no list of objects where its description says.")
    for number, record in enumerate(content):
        if isinstance(record, dict):
            row = {role: record.get(match[2]) for role, match in paths.items() if match}
            yield f"{file.name}[{number}]", row


def _pattern(field: Any) -> Any:
    expression = next(
        (transform.regex for transform in field.source.transforms if transform.regex), None
    )
    if not expression:
        return None
    try:
        import regex  # noqa: PLC0415  of the extra: it can be stopped, re cannot
    except ImportError as error:
        raise MissingExtraError("the Croissant format", "croissant") from error
    try:
        return regex.compile(expression)
    except regex.error as error:
        raise DataError(f"The pattern {expression!r} of {field.id} is none: {error}.") from error


def _match(pattern: Any, value: Any) -> Any:
    """Return what a pattern's first group takes of a value, None where it does not fit."""
    if pattern is None or not isinstance(value, str):
        return value
    try:
        match = pattern.search(value[:1000], timeout=PATIENCE)
    except TimeoutError as error:
        raise DataError(f"The pattern {pattern.pattern!r} takes too long.") from error
    return match[1 if pattern.groups else 0] if match else None


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()
