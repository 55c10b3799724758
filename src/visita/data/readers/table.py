"""A table with a column of picture files, one of texts and perhaps of splits and languages."""

from __future__ import annotations

import posixpath
from collections import Counter
from pathlib import Path

from visita.data.pairs import PairSet
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.rows import READ_ROWS, Rows, plain
from visita.errors import DataError
from visita.types import Skipped

IMAGE_COLUMNS = ("image", "file", "filename", "path", "image_path", "filepath")
TEXT_COLUMNS = ("text", "caption", "title", "sentence", "description")
SPLIT_COLUMN = "split"
LANGUAGE_COLUMN = "language"
SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class Table:
    """Reads CSV, TSV, JSON lines and Parquet; paths are relative to the table's folder.

    Rows with the same image give it several texts; rows with the same text, within one
    split, make it one text that matches several images. The language of a text, if any, is a
    code such as ``de``.
    """

    looks_for = (
        f"a file ending in {', '.join(READ_ROWS)} with a column named {' or '.join(IMAGE_COLUMNS)} "
        f"and one named {' or '.join(TEXT_COLUMNS)}"
    )

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.suffix.lower() in READ_ROWS

    def read(self, path: Path, seed: int) -> PairSet:
        if not self.recognises(path):
            raise DataError(f"{path} is not a table: it should be {self.looks_for}.")
        wanted = (*IMAGE_COLUMNS, *TEXT_COLUMNS, SPLIT_COLUMN, LANGUAGE_COLUMN)
        table = READ_ROWS[path.suffix.lower()](path, wanted)
        problems = list(table.problems)
        return assemble(f"table:{path}", _captions(path, table, problems), problems, seed)


def _captions(path: Path, table: Rows, problems: list[Skipped]) -> list[Caption]:
    image, text = _column(path, table, IMAGE_COLUMNS), _column(path, table, TEXT_COLUMNS)
    has_splits = SPLIT_COLUMN in map(plain, table.columns)
    splits: dict[str, str | None] = {}
    unknown: Counter[str] = Counter()
    captions = []
    for place, row in table.rows:
        name, texts = row.get(image), row.get(text)
        split = SPLITS.get(plain(str(row.get(SPLIT_COLUMN))))
        if has_splits and split is None:
            unknown[str(row.get(SPLIT_COLUMN))] += 1
        elif not isinstance(name, str) or not name.strip():
            problems.append(Skipped(place, f"names no picture under {image!r}"))
        else:
            image_id = posixpath.normpath(name.strip().replace("\\", "/"))
            first = splits.setdefault(image_id, split)
            if split != first:
                problems.append(
                    Skipped(place, f"{image_id} is in {split} too; it stays in {first}")
                )
            file, language = path.parent / image_id, plain(str(row.get(LANGUAGE_COLUMN) or ""))
            for one in texts if isinstance(texts, list) else [texts]:
                if isinstance(one, str):
                    key = (first, one.strip())
                    captions.append(Caption(image_id, file, one, key, first, language))
                else:
                    problems.append(Skipped(place, f"has no text under {text!r}"))
    for value, rows in unknown.items():
        problems.append(Skipped(f"{rows} rows", f"have split {value!r}, not train, dev or test"))
    return captions


def _column(path: Path, table: Rows, names: tuple[str, ...]) -> str:
    known = {plain(column) for column in table.columns}
    for name in names:
        if name in known:
            return name
    found = ", ".join(map(repr, table.columns)) or "none"
    raise DataError(f"{path} needs a column named {' or '.join(names)}; its columns: {found}.")
