"""What the columns of tables and the fields of records are called, and what their cells hold.

The layouts of others that are such tables: Hugging Face's image folder
(https://huggingface.co/docs/datasets/image_dataset) and Parquet, the JSON lists of BLIP and LAVIS
(https://github.com/salesforce/LAVIS) and of LLaVA (https://github.com/haotian-liu/LLaVA), the
Flickr8k and Flickr30k of Kaggle and of nlphuji.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from visita.data.pictures import printable
from visita.errors import DataError

IMAGE = (
    *("image", "file", "filename", "path", "image_path", "filepath"),
    *("file_name", "image_name", "img", "jpg", "jpeg", "png", "webp"),
)
TEXT = (
    *("text", "caption", "title", "sentence", "description"),
    *("captions", "sentences", "comment", "raw", "conversations"),
)
SPLIT = ("split",)
LANGUAGE = ("language",)
ROLES = {"image": IMAGE, "text": TEXT, "split": SPLIT, "language": LANGUAGE}
"""What may be in a table; the first two must be there."""
SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
LONGEST = 1_000_000
"""Characters of a text."""
_ANSWERS = ("gpt", "assistant")
_MARK = "<image>"
Choose = Callable[[Sequence[str]], Mapping[str, str]]
"""From the columns of a table to those that are read, by their role."""


def plain(column: str) -> str:
    """Return a column's name without case or surrounding space."""
    return column.strip().lower()


def choose_roles(name: str) -> Choose:
    """Return what finds the columns of a table called ``name`` by what they are called."""

    def choose(columns: Sequence[str]) -> dict[str, str]:
        by_name = {plain(column): column for column in reversed(columns)}
        chosen = {role: _first(by_name, names) for role, names in ROLES.items()}
        for role in ("image", "text"):
            if not chosen[role]:
                raise DataError(_lacks(name, role, columns))
        return {role: column for role, column in chosen.items() if column}

    return choose


def _first(columns: Mapping[str, str], names: Sequence[str]) -> str:
    return next((columns[name] for name in names if name in columns), "")


def _lacks(name: str, role: str, columns: Sequence[str]) -> str:
    names = {plain(column) for column in columns}
    hint = ""
    if role == "image" and {"key", "url"} <= names:
        hint = " It lists what img2dataset fetched: name the .tar files or folders beside it."
    elif role == "image" and "url" in names:
        hint = " It holds addresses, and visita reads local files only: fetch the pictures first."
    listed = ", ".join(map(repr, columns[:30])) or "none"
    return (
        f"{printable(name)} needs a column named {' or '.join(ROLES[role])}; "
        f"its columns: {listed}.{hint}"
    )


def texts_of(cell: Any) -> Iterator[str | None]:
    """Yield the texts of a cell, None for each thing in it that is no text.

    A cell holds one text or a list of them, also a list written as text, or a conversation
    about the picture, whose answers are its texts.
    """
    if isinstance(cell, str) and cell.lstrip().startswith(('["', "['")):
        cell = _listed(cell)
    for part in cell if isinstance(cell, list | tuple) else [cell]:
        match part:
            case str() if len(part) <= LONGEST:
                yield part
            case {"from": speaker, "value": str() as said}:
                yield from _answers(speaker, said)
            case {"role": speaker, "content": str() as said}:
                yield from _answers(speaker, said)
            case {"raw": str() as said} | {"caption": str() as said}:
                yield said
            case _:
                yield None


def _answers(speaker: Any, said: str) -> Iterator[str]:
    if speaker in _ANSWERS:
        yield said.replace(_MARK, " ").strip()


def _listed(cell: str) -> Any:
    """Return the list that a cell spells, as JSON or as Python does; else the cell."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, list):
            return value
    return cell
